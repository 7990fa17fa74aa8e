"""The command `tanqu evaluate ranking`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...agent.cli import console
from ...agent.cli.console import say
from ...models.errors import InputError
from ..json_file import JsonFile, write_json

if TYPE_CHECKING:
    from ...agent.ranking import RankingWeights
    from ...models.language_model import LanguageModel
    from ..data.protocol import Choices, Protocol

_BY_NAME = "movielens-100k"


def register(
    evaluate_app: typer.Typer,
    settings_of: Callable[[typer.Context], Any],  # Settings, whose import is put off
    open_model: Callable[..., Any],  # opens a LlamaModel, or None for "none"
) -> None:
    """Add `ranking` to the commands of `tanqu evaluate`."""

    @evaluate_app.command()
    def ranking(
        context: typer.Context,
        dataset: Annotated[str, typer.Argument(help=f"{_BY_NAME}, or nothing and give the files.")] = "",
        items: Annotated[Path | None, typer.Option(help="Items: a .item file of RecBole.")] = None,
        sequences: Annotated[
            Path | None,
            typer.Option(help="A .inter file: histories with the next item, or events with times."),
        ] = None,
        candidates: Annotated[
            Path | None, typer.Option(help="Negatives of each user; without it they are drawn.")
        ] = None,
        negatives: Annotated[int, typer.Option(min=1, help="How many of them stand beside the target.")] = 19,
        full: Annotated[bool, typer.Option("--full", help="Find the target in the whole catalogue.")] = False,
        users: Annotated[
            int | None, typer.Option(min=1, help="How many users, drawn by the seed; default: all.")
        ] = None,
        seed: Annotated[int, typer.Option(min=0, help="Draws users, negatives and their order.")] = 0,
        history: Annotated[
            int | None, typer.Option(min=1, help="How many of a user's last events count; default: all.")
        ] = None,
        text_only: Annotated[bool, typer.Option("--text-only", help="Use no other user's events.")] = False,
        signals: Annotated[
            str, typer.Option(help="Only these signals, such as history,lexical; default: all.")
        ] = "",
        baselines: Annotated[
            str, typer.Option(help="Of random, popularity, bm25, vectors, itemknn, listing.")
        ] = "random,popularity,bm25,vectors,itemknn",
        output: JsonFile = None,
        page: Annotated[
            Path | None, typer.Option("--page", help="Write them as a page to read: a name in .html.")
        ] = None,
    ) -> None:
        """Measure how well the next item is ranked, beside simple rankers, with intervals and tests."""
        from ..data.protocol import Choices
        from .baselines import check_names
        from .page import check_page, write_page

        if page is not None:
            check_page(page)
        settings = settings_of(context)
        others = _names(baselines)
        check_names(others, with_model=True, full=full)
        weights = _weights(settings, _names(signals))
        choices = Choices(users, seed, negatives, history, full)
        protocol = _protocol(dataset, items, sequences, candidates, choices, context.obj.scenario)
        model = open_model(settings, explicit=context.obj.model is not None)
        if model is None:
            say("note: without a language model, the signal `model` is left out")
        try:
            check_names(others, with_model=model is not None, full=full)
            report = _run(protocol, settings, model, text_only, weights, others)
        finally:
            if model is not None:
                model.close()
        _tell(report, output)
        if page is not None:
            write_page(report, page, "zh" if settings.language == "zh" else "en")
            say(f"written: {page}")


def _protocol(
    dataset: str,
    items: Path | None,
    sequences: Path | None,
    candidates: Path | None,
    choices: "Choices",
    scenario: Any,  # a Scenario, checked by the settings
) -> "Protocol":
    from ..data.protocol import movielens, read_protocol

    if dataset and (items or sequences or candidates):
        msg = f"give either the data set's name ({dataset}) or its files, not both"
        raise InputError(msg)
    if dataset == _BY_NAME:
        return movielens(choices)
    if dataset:
        msg = f"there is no data set {dataset!r}: use {_BY_NAME}, or give --items and --sequences"
        raise InputError(msg)
    if items is None or sequences is None:
        msg = f"give --items and --sequences, or the name {_BY_NAME}"
        raise InputError(msg)
    return read_protocol(items, sequences, candidates, choices, scenario or "shop")


def _run(
    protocol: "Protocol",
    settings: Any,  # Settings
    model: "LanguageModel | None",
    text_only: bool,
    weights: "RankingWeights",
    baselines: list[str],
) -> dict[str, Any]:
    """The figures, as `as_json` gives them."""
    from ...models.embedder import SentenceEmbedder
    from ...prompts import Prompts
    from ...vectorstore import Engagement
    from . import experiment as ranking
    from .baselines import Data
    from .baselines import baselines as named

    settings = settings.model_copy(update={"scenario": protocol.scenario})
    with (
        console.counting("indexing") as indexing,
        ranking.prepared(protocol, SentenceEmbedder(), progress=indexing) as (catalogue, priors),
    ):
        data = Data(protocol, catalogue)
        others = named(baselines, data, model, Prompts(settings.prompts))
        ids = catalogue.ids()
        engagement = Engagement.empty(ids) if text_only else Engagement.build(protocol.histories, ids)
        ours = ranking.Tanqu(catalogue, engagement, weights, priors, model, settings)
        with console.counting("users") as count:
            measured = ranking.measure(protocol, [ours, *others], data, count)
    report = ranking.as_json(measured)
    report["protocol"] |= {
        "text_only": text_only,
        "model": f"{model.name} ({model.fingerprint})" if model else None,
        "weights": {"alpha": weights.alpha, **weights.weights},
    }
    return report


def _weights(settings: Any, signals: list[str]) -> "RankingWeights":  # Settings
    """The weights in force, or of them those of these signals; raises InputError for an unknown one."""
    from ...agent.ranking import load_weights
    from .experiment import only

    weights = load_weights(settings.signal_weights)
    return only(weights, signals) if signals else weights


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _tell(report: dict[str, Any], output: Path | None) -> None:
    from .experiment import told

    protocol = report["protocol"]
    among = "the whole catalogue" if protocol["negatives"] is None else f"{protocol['candidates']} candidates"
    typer.echo(f"{report['dataset']}: {protocol['users']} users, {among}")
    typer.echo(told(report))
    for note, times in report["notes"].items():
        say(f"note: {note} ({times} users)")
    write_json(output, report)
