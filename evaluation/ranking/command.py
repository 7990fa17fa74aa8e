"""The command `tanqu evaluate ranking`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...agent.cli.console import counting, say
from ...agent.cli.options import options_of
from ...models.errors import InputError
from ..results import JsonFile, write_json

if TYPE_CHECKING:
    from ...agent.ranking import RankingWeights
    from ...agent.settings import Settings
    from ...models.language_model import LanguageModel
    from ..data.protocol import ProtocolOptions, RankingProtocol

_BY_NAME = "movielens-100k"


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
    """Measure how well the next item is ranked, beside simple rankers, with intervals and tests.

    Tanqu ranks by the weights in force: those that the settings name, else those that `tanqu tune` fitted in
    this home, else its own.
    """
    from ..data.protocol import ProtocolOptions
    from .baselines import check_names
    from .page import check_page, write_page

    if page is not None:
        check_page(page)
    options = options_of(context)
    settings = options.settings()
    names = _names(baselines)
    check_names(names, with_model=True, full=full)
    weights, path = _weights(settings, _names(signals))
    protocol_options = ProtocolOptions(users, seed, negatives, history, full)
    protocol = _protocol(dataset, items, sequences, candidates, protocol_options, options.scenario)
    with options.language_model(settings) as model:
        if model is None:
            say("note: without a language model, the signal `model` is left out")
        check_names(names, with_model=model is not None, full=full)
        say(f"note: the weights of the signals are {f'those of {path}' if path else 'Tanqu’s own'}")
        report = _run(protocol, settings, model, text_only, weights, names)
    report["protocol"]["weights_file"] = str(path) if path else None
    _print(report)
    write_json(output, report)
    if page is not None:
        write_page(report, page, "zh" if settings.language == "zh" else "en")
        say(f"written: {page}")


def _protocol(
    dataset: str,
    items: Path | None,
    sequences: Path | None,
    candidates: Path | None,
    protocol_options: "ProtocolOptions",
    scenario: Any,  # a Scenario, checked by the settings
) -> "RankingProtocol":
    from ..data.protocol import movielens, read_protocol

    if dataset and (items or sequences or candidates):
        msg = f"give either the data set's name ({dataset}) or its files, not both"
        raise InputError(msg)
    if dataset == _BY_NAME:
        return movielens(protocol_options)
    if dataset:
        msg = f"there is no data set {dataset!r}: use {_BY_NAME}, or give --items and --sequences"
        raise InputError(msg)
    if items is None or sequences is None:
        msg = f"give --items and --sequences, or the name {_BY_NAME}"
        raise InputError(msg)
    return read_protocol(items, sequences, candidates, protocol_options, scenario or "shop")


def _run(
    protocol: "RankingProtocol",
    settings: "Settings",
    model: "LanguageModel | None",
    text_only: bool,
    weights: "RankingWeights",
    names: list[str],
) -> dict[str, Any]:
    """The figures, as `as_json` gives them."""
    from ...models.embedder import SentenceEmbedder
    from ...prompts import Prompts
    from ...vectorstore import Engagement
    from .baselines import TrainingData, baselines
    from .experiment import Tanqu, as_json, measure, prepared

    settings = settings.model_copy(update={"scenario": protocol.scenario})
    with (
        counting("indexing") as indexing,
        prepared(protocol, SentenceEmbedder(), progress=indexing) as (catalogue, priors),
    ):
        data = TrainingData(protocol, catalogue)
        others = baselines(names, data, model, Prompts(settings.prompts))
        ids = catalogue.ids()
        engagement = Engagement.empty(ids) if text_only else Engagement.build(protocol.histories, ids)
        ours = Tanqu(catalogue, engagement, weights, priors, model, settings)
        results = measure(protocol, [ours, *others], data, indexing.then("users"))
    report = as_json(results)
    report["protocol"] |= {
        "text_only": text_only,
        "model": f"{model.name} ({model.fingerprint})" if model else None,
        "weights": {"alpha": weights.alpha, **weights.weights},
    }
    return report


def _weights(settings: "Settings", signals: list[str]) -> tuple["RankingWeights", Path | None]:
    """The weights in force, all or those of these signals, and their file, None for Tanqu's own."""
    from ...agent.ranking import weights_in_force
    from .experiment import only

    weights, path = weights_in_force(settings)
    return only(weights, signals) if signals else weights, path


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _print(report: dict[str, Any]) -> None:
    from .experiment import report_text

    protocol = report["protocol"]
    among = "the whole catalogue" if protocol["negatives"] is None else f"{protocol['candidates']} candidates"
    typer.echo(f"{report['dataset']}: {protocol['users']} users, {among}")
    typer.echo(report_text(report))
    for note, times in report["notes"].items():
        say(f"note: {note} ({times} users)")
