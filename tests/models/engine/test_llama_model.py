"""The engine over a real model: what is warm equals what is cold, limits hold, nothing leaks or mixes."""

import json
import os
import random
import resource
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from tanqu.models.engine.context import Context
from tanqu.models.engine.llama_model import LlamaModel
from tanqu.models.engine_settings import EngineSettings
from tanqu.models.errors import (
    CancelledError,
    GrammarError,
    ModelError,
    PromptTooLongError,
    WeightsError,
)
from tanqu.models.language_model import Constraint, Limits, Prompt, Scored, generate

pytestmark = pytest.mark.gguf

Ask = Callable[..., Prompt]
TITLES = [
    "The Lord of the Rings", "The Lord of the Flies", "The Hobbit", "深度学习算法与应用", "Clean Code",
    "Clean Architecture", "Zumba Fitness", "a", "Rye bread", "Zz qx vv 9", "红楼梦", "Harry Potter",
]  # fmt: skip
OWNER = "user-1"


class Pick(BaseModel):
    name: Annotated[str, Field(max_length=12)]
    tags: Annotated[list[Literal['say "hi"', "back\\slash", "表情😀"]], Field(min_length=1, max_length=3)]
    stars: Annotated[int, Field(ge=1, le=5)]


@pytest.fixture(scope="module")
def small(tiny_path: Path) -> Iterator[LlamaModel]:
    """A model with little room: 256 tokens, and 4 rows and sequences at a time."""
    with LlamaModel(tiny_path, EngineSettings(context=256, batch=128, rows=4)) as model:
        yield model


def _cool(model: LlamaModel, *owners: str) -> None:
    """Have the model forget all that it has read."""
    for owner in ("", *owners):
        model.forget(owner)


def _scores(model: LlamaModel, prompt: Prompt, texts: list[str]) -> list[Scored]:
    return model.score(prompt, texts)[0]


def _words(count: int, seed: int) -> str:
    chosen = random.Random(seed)
    return " ".join(chosen.choice(["tea", "river", "music", "code", "深度", "night"]) for _ in range(count))


# Scores


def test_scores_in_one_batch_are_those_one_by_one_and_rank_alike(tiny_model: LlamaModel, ask: Ask) -> None:
    prompt = ask("A reader of fantasy books. Name one book.", lead="-")
    together = _scores(tiny_model, prompt, [f" {title}" for title in TITLES])
    apart = [_scores(tiny_model, prompt, [f" {title}"])[0] for title in TITLES]
    # Kernels differ with the number of tokens read at once: 0.7 per logit was seen with these weights.
    for one, other in zip(together, apart, strict=True):
        assert np.allclose(one.logprobs, other.logprobs, atol=1.0)
        assert abs(one.mean - other.mean) < 0.4
    ranks = [sorted(TITLES, key=lambda title: -dict(zip(TITLES, scores, strict=True))[title].mean)
             for scores in (together, apart)]  # fmt: skip
    assert ranks[0] == ranks[1]


def test_scores_do_not_depend_on_how_many_fit_into_a_batch(
    tiny_model: LlamaModel, small: LlamaModel, ask: Ask
) -> None:
    prompt = ask("Name one book.")
    wide, narrow = _scores(tiny_model, prompt, TITLES), _scores(small, prompt, TITLES)
    for one, other in zip(wide, narrow, strict=True):
        assert np.allclose(one.logprobs, other.logprobs, atol=1.0)


def test_scores_keep_the_order_and_tokens_of_the_texts(tiny_model: LlamaModel, ask: Ask) -> None:
    prompt = ask("Name one book.")
    many = [f"{title} {part}" for part in range(15) for title in TITLES] + [""]  # more than there are rows
    scored, usage = tiny_model.score(prompt, many)
    assert len(scored) == len(many)
    assert scored[-1].logprobs == ()
    assert all(value <= 0 for one in scored for value in one.logprobs)
    assert usage.output_tokens == 0
    twice = _scores(tiny_model, prompt, ["Clean Code", "Harry Potter", "Clean Code"])
    assert twice[0] == twice[2] != twice[1]


def test_a_likely_text_scores_above_an_unlikely_one(tiny_model: LlamaModel, ask: Ask) -> None:
    likely, unlikely = _scores(tiny_model, ask("What is the capital of France?"), ["Paris", "Gravel"])
    assert likely.mean > unlikely.mean + 2


def test_shared_starts_are_read_once(tiny_model: LlamaModel, ask: Ask) -> None:
    prompt = ask("Name one book.")
    tiny_model.score(prompt, ["a"])
    start = "The long and winding history of everything"
    _, alone = tiny_model.score(prompt, [f"{start} one"])
    _, ten = tiny_model.score(prompt, [f"{start} {word}" for word in _words(40, 1).split()])
    assert ten.prompt_tokens - alone.prompt_tokens <= 12


# Warm equals cold


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    before=st.lists(st.integers(1, 90), min_size=1, max_size=3),
    common=st.integers(0, 150),
    after=st.integers(0, 40),
    kept=st.booleans(),
)
def test_a_warm_score_is_exactly_the_cold_one(
    tiny_model: LlamaModel, ask: Ask, before: list[int], common: int, after: int, kept: bool
) -> None:
    shared, keep = _words(common, 0), 1 if kept else None
    prompt = ask(f"{shared} ", _words(after, 99), keep=keep, owner=OWNER)
    _cool(tiny_model, OWNER)
    cold = _scores(tiny_model, prompt, TITLES[:3])
    assert _scores(tiny_model, prompt, TITLES[:3]) == cold
    for seed, length in enumerate(before):
        _scores(tiny_model, ask(f"{shared} ", _words(length, seed), keep=keep, owner=OWNER), TITLES[3:5])
        assert _scores(tiny_model, prompt, TITLES[:3]) == cold


def test_a_warm_text_is_exactly_the_cold_one(tiny_model: LlamaModel, ask: Ask) -> None:
    prompts = [ask(_words(190, 3), text, owner=OWNER) for text in ("Name a river.", "Name a song.", "你好")]
    limits = Limits(max_tokens=6)
    _cool(tiny_model, OWNER)
    cold = tiny_model.generate_many(prompts, limits=limits)[0]
    tiny_model.generate_many(prompts[:1], limits=Limits(max_tokens=30))
    tiny_model.score(ask(_words(190, 3), "Name a hill.", owner=OWNER), TITLES)
    warm, usage = tiny_model.generate_many(prompts, limits=limits)
    assert warm == cold
    assert usage.cached_tokens > 64


def test_asking_again_reads_nothing(tiny_model: LlamaModel, ask: Ask) -> None:
    prompt = ask("Name a colour.")
    limits = Limits(max_tokens=3)
    first, _ = generate(tiny_model, prompt, limits=limits)
    again, usage = generate(tiny_model, prompt, limits=limits)
    assert again == first
    assert usage.cached_tokens == usage.prompt_tokens == tiny_model.count(prompt)


# Prefixes on disk


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def kept(ask: Ask) -> Prompt:
    return ask(f"{_words(60, 5)} ", "Which one?", keep=1, owner=OWNER)


def test_a_prefix_on_disk_serves_the_next_process_exactly(
    tiny_path: Path, tmp_path: Path, kept: Prompt
) -> None:
    with LlamaModel(tiny_path, EngineSettings(context=512), tmp_path) as model:
        cold, usage = model.score(kept, TITLES)
        assert (usage.cached_tokens, model.cache_hits["disk"]) == (0, 0)
    (file,) = _files(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    with LlamaModel(tiny_path, EngineSettings(context=1024), tmp_path) as model:
        warm, usage = model.score(kept, TITLES)
        assert model.cache_hits == {"memory": 0, "disk": 1, "miss": 0}
        assert usage.cached_tokens > 60
    assert warm == cold


@pytest.mark.parametrize("harm", ["cut", "changed", "empty", "garbage", "of another prompt"])
def test_a_damaged_or_foreign_prefix_file_is_ignored_and_replaced(
    tiny_path: Path, tmp_path: Path, kept: Prompt, ask: Ask, harm: str
) -> None:
    settings_ = EngineSettings(context=512)
    with LlamaModel(tiny_path, settings_, tmp_path) as model:
        cold = _scores(model, kept, TITLES)
        _scores(model, ask(f"{_words(60, 6)} ", "Which one?", keep=1, owner="other"), TITLES)
    mine, other = sorted(_files(tmp_path), key=lambda path: path.stat().st_mtime_ns)
    whole = mine.read_bytes()
    middle = len(whole) // 2
    mine.write_bytes({
        "cut": whole[:middle],
        "changed": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "empty": b"",
        "garbage": b"\x00" * 5000,
        "of another prompt": other.read_bytes(),
    }[harm])  # fmt: skip
    with LlamaModel(tiny_path, settings_, tmp_path) as model:
        warm, usage = model.score(kept, TITLES)
        assert (usage.cached_tokens, model.cache_hits["miss"]) == (0, 1)
    assert warm == cold
    assert mine.read_bytes() == whole


def test_kept_cells_of_another_cache_type_are_not_used(tiny_path: Path, tmp_path: Path, kept: Prompt) -> None:
    for kind in ("f16", "q8_0"):
        with LlamaModel(tiny_path, EngineSettings(context=512, kv_type=kind), tmp_path) as model:
            assert model.score(kept, ["a"])[1].cached_tokens == 0
    assert len(_files(tmp_path)) == 2


def test_a_prefix_without_data_is_shared_and_survives_that_a_user_is_forgotten(
    tiny_path: Path, tmp_path: Path, ask: Ask
) -> None:
    scaffold = ask("", _words(9, 1), owner=OWNER)
    system = scaffold.messages[0]
    told = type(system)("system", (type(system.segments[0])(_words(50, 2)),), 1)
    prompt = Prompt((told, *scaffold.messages[1:]), OWNER)
    private = ask(f"{_words(50, 3)} ", "?", keep=1, owner=OWNER)
    with LlamaModel(tiny_path, EngineSettings(context=512), tmp_path) as model:
        model.score(prompt, ["a"])
        model.score(private, ["a"])
        assert len(_files(tmp_path)) == 2
        model.forget(OWNER)
        (left,) = _files(tmp_path)
        assert left.parent.name == "shared"
        assert model.score(private, ["a"])[1].cached_tokens == 0
        assert model.score(prompt, ["a"])[1].cached_tokens > 50
    assert OWNER not in str(_files(tmp_path))


# Texts


@pytest.mark.parametrize("limit", range(1, 41))
def test_json_is_valid_at_every_token_limit(tiny_model: LlamaModel, ask: Ask, limit: int) -> None:
    made, _ = generate(
        tiny_model,
        ask("Describe 《三体》 as JSON."),
        constraint=Constraint(schema=Pick),
        limits=Limits(max_tokens=limit, temperature=1.0, seed=limit),
    )
    Pick.model_validate_json(made.text)
    assert made.text == "".join(token.text for token in made.tokens)
    assert made.finish == "stop" or len(made.tokens) >= limit


def test_hostile_values_come_out_as_they_are(tiny_model: LlamaModel, ask: Ask) -> None:
    for value in ('say "hi"', "back\\slash", "表情😀", "<|im_end|>", "a\nb", "\u0000", "\u202eright"):
        schema = json.dumps({"type": "object", "properties": {"v": {"const": value}}, "required": ["v"],
                             "additionalProperties": False})  # fmt: skip
        made, _ = generate(tiny_model, ask("Answer."), constraint=Constraint(schema=schema))
        assert json.loads(made.text) == {"v": value}


def test_a_regex_bounds_the_whole_text(tiny_model: LlamaModel, ask: Ask) -> None:
    made, _ = generate(tiny_model, ask("Pick."), constraint=Constraint(regex="(left|right) [0-9]{3}"))
    side, digits = made.text.split(" ")
    assert side in ("left", "right")
    assert len(digits) == 3 and digits.isdigit()


@pytest.mark.parametrize("wrong", [
    Constraint(regex="(unclosed"), Constraint(schema="{}}"), Constraint(schema='{"type": "no such type"}'),
    Constraint(schema='{"type":"string","pattern":"^(a$"}'),
])  # fmt: skip
def test_a_grammar_that_does_not_compile_is_an_error_and_does_no_harm(
    tiny_model: LlamaModel, ask: Ask, wrong: Constraint
) -> None:
    with pytest.raises(GrammarError):
        generate(tiny_model, ask("Answer."), constraint=wrong)
    assert generate(tiny_model, ask("Answer."), limits=Limits(max_tokens=2))[0].tokens


def test_many_texts_belong_to_their_prompts_in_order(
    tiny_model: LlamaModel, small: LlamaModel, ask: Ask
) -> None:
    names = ["France", "Japan", "Italy", "Egypt", "China", "Germany"]
    prompts = [ask("Where is it?", lead=f"The capital of {name} is the city of") for name in names]
    for model in (tiny_model, small):  # all at once, and in waves
        texts = [made.text for made in model.generate_many(prompts, limits=Limits(max_tokens=4))[0]]
        for text, capital in zip(
            texts, ["Paris", "Tokyo", "Rome", "Cairo", "Beijing", "Berlin"], strict=True
        ):
            assert capital in text


def test_streamed_pieces_are_the_texts(tiny_model: LlamaModel, ask: Ask) -> None:
    told = {0: "", 1: ""}

    def hear(index: int, text: str) -> None:
        told[index] += text

    made, usage = tiny_model.generate_many(
        [ask("说三句话。"), ask("Say three things.")], limits=Limits(max_tokens=25), on_text=hear
    )
    assert [told[0], told[1]] == [one.text for one in made]
    assert usage.output_tokens == sum(len(one.tokens) for one in made)


def test_a_seed_repeats_a_draw_and_another_seed_does_not(tiny_model: LlamaModel, ask: Ask) -> None:
    def draw(seed: int) -> str:
        limits = Limits(max_tokens=16, temperature=1.2, seed=seed)
        return generate(tiny_model, ask("Tell a story."), limits=limits)[0].text

    assert draw(1) == draw(1)
    assert len({draw(seed) for seed in (1, 2, -3)}) == 3


def test_nothing_asked_costs_nothing(tiny_model: LlamaModel, ask: Ask) -> None:
    assert tiny_model.generate_many([])[0] == []
    assert tiny_model.score(ask("Hello"), [])[0] == []
    assert generate(tiny_model, ask("Hello"), limits=Limits(max_tokens=0))[0].text == ""


# The context


def _of_length(model: LlamaModel, ask: Ask, tokens: int) -> Prompt:
    prompt = ask(" a" * (tokens - model.count(ask(" a")) + 1))
    assert model.count(prompt) == tokens
    return prompt


def test_a_prompt_may_be_as_long_as_the_context_and_no_longer(small: LlamaModel, ask: Ask) -> None:
    full = _of_length(small, ask, small.context_tokens)
    made, usage = generate(small, full, limits=Limits(max_tokens=9))
    assert len(made.tokens) <= 1
    assert usage.prompt_tokens == 256
    assert len(_scores(small, full, ["a", " b"])) == 2
    Pick.model_validate_json(generate(small, full, constraint=Constraint(schema=Pick))[0].text)
    with pytest.raises(PromptTooLongError, match="257 tokens and the context has 256"):
        generate(small, _of_length(small, ask, 257))
    with pytest.raises(PromptTooLongError):
        small.score(full, ["one two three"])


def test_texts_end_where_the_context_does(small: LlamaModel, ask: Ask) -> None:
    prompts = [_of_length(small, ask, length) for length in (240, 250, 30)]
    made, _ = small.generate_many(prompts, limits=Limits(max_tokens=20, temperature=1.5))
    assert len(made[0].tokens) <= 17
    assert len(made[1].tokens) <= 7
    assert generate(small, ask("Hello"), limits=Limits(max_tokens=2))[0].tokens


def test_prompts_without_anything_in_common_are_continued_too(small: LlamaModel) -> None:
    prompts = [Prompt(()), Prompt(())]
    made, _ = small.generate_many(prompts, limits=Limits(max_tokens=3))
    assert made[0] == made[1]


# Order and limits


def _long(model: LlamaModel, ask: Ask) -> Prompt:
    """A prompt that takes seconds to read, each time."""
    return ask(f"{time.monotonic_ns()} " + _words(model.context_tokens // 3, time.monotonic_ns()))


def test_a_deadline_stops_the_reading_of_a_prompt(tiny_model: LlamaModel, ask: Ask) -> None:
    started = time.monotonic()
    with pytest.raises(CancelledError, match="its deadline passed"):
        generate(tiny_model, _long(tiny_model, ask), limits=Limits(deadline=0.05))
    assert time.monotonic() - started < 1.0  # 0.3 s on a quiet machine
    with pytest.raises(CancelledError):
        tiny_model.score(_long(tiny_model, ask), TITLES, limits=Limits(deadline=0.05))


def test_a_deadline_stops_the_writing_of_a_text(tiny_model: LlamaModel, ask: Ask) -> None:
    with pytest.raises(CancelledError):
        generate(tiny_model, ask("Count."), constraint=Constraint(regex="[0-9]{900}"),
                 limits=Limits(max_tokens=900, deadline=0.4))  # fmt: skip


def test_after_a_stop_the_answers_are_as_before(tiny_model: LlamaModel, ask: Ask) -> None:
    prompt = ask(_words(100, 8), owner=OWNER)
    before = _scores(tiny_model, prompt, TITLES)
    for deadline in (0.0, 0.01, 0.03, 0.1):
        with pytest.raises(CancelledError):
            tiny_model.score(_long(tiny_model, ask), TITLES, limits=Limits(deadline=deadline))
        assert _scores(tiny_model, prompt, TITLES) == before


def test_setting_the_event_stops_the_call(tiny_model: LlamaModel, ask: Ask) -> None:
    cancel = threading.Event()
    threading.Timer(0.1, cancel.set).start()
    with pytest.raises(CancelledError, match="the caller gave up"):
        generate(tiny_model, ask("Count."), constraint=Constraint(regex="[0-9]{900}"),
                 limits=Limits(max_tokens=900, cancel=cancel))  # fmt: skip


def test_ctrl_c_stops_the_call_and_the_model_goes_on(tiny_model: LlamaModel, ask: Ask) -> None:
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        tiny_model.generate_many([_long(tiny_model, ask)] * 20, limits=Limits(max_tokens=500))
    started = time.monotonic()
    assert generate(tiny_model, ask("Hello"), limits=Limits(max_tokens=2))[0].tokens
    assert time.monotonic() - started < 2.0


def test_an_error_in_the_callback_reaches_the_caller(tiny_model: LlamaModel, ask: Ask) -> None:
    def fail(_text: str) -> None:
        msg = "the screen is gone"
        raise OSError(msg)

    before = _scores(tiny_model, ask("Hello"), TITLES)
    with pytest.raises(OSError, match="the screen is gone"):
        generate(tiny_model, ask("Hello"), on_text=fail)
    assert _scores(tiny_model, ask("Hello"), TITLES) == before


def test_calling_the_model_within_its_callback_is_refused(tiny_model: LlamaModel, ask: Ask) -> None:
    with pytest.raises(ModelError, match="on_text"):
        generate(tiny_model, ask("Hello"), on_text=lambda _: tiny_model.forget("anybody"))


def test_requests_of_many_threads_are_neither_lost_nor_mixed_up(tiny_model: LlamaModel, ask: Ask) -> None:
    asked = [ask(_words(2 + at, at), owner=f"user-{at % 3}") for at in range(10)]

    def request(at: int) -> object:
        prompt = asked[at % 10]
        if at % 2:
            return generate(tiny_model, prompt, limits=Limits(max_tokens=1, priority=at % 7))[0]
        return _scores(tiny_model, prompt, ["a", "b", "c"][: 1 + at % 3])

    expected = [request(at) for at in range(30)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(request, range(200)))
    assert answers == [expected[at % 30] for at in range(200)]


def test_every_call_to_a_closed_model_is_one_clear_error(tiny_path: Path, ask: Ask) -> None:
    model = LlamaModel(tiny_path, EngineSettings(context=256))
    model.close()
    model.close()
    weights = model.weights
    calls: list[Callable[[], object]] = [
        lambda: generate(model, ask("Hello")),
        lambda: model.score(ask("Hello"), ["a"]),
        lambda: model.count(ask("Hello")),
        lambda: model.encode(ask("Hello")),
        lambda: model.forget("a"),
        lambda: model.name,
        lambda: weights.bos,
        lambda: weights.end,
        lambda: weights.piece(1),
        lambda: weights.is_control(1),
        lambda: weights.description,
        lambda: weights.chat_template,
        lambda: Context(weights, EngineSettings(context=256)),
    ]
    for call in calls:
        with pytest.raises(ModelError, match=r"the model SmolLM2.* is closed") as caught:
            call()
        assert type(caught.value) is ModelError


def test_closing_while_others_count_and_generate_is_safe(tiny_path: Path, ask: Ask) -> None:
    for _ in range(5):
        model = LlamaModel(tiny_path, EngineSettings(context=256))

        def work(model: LlamaModel, at: int) -> None:
            with pytest.raises(ModelError, match="closed"):
                while True:
                    model.count(ask(_words(20, at)))
                    if at == 0:
                        generate(model, ask("Hello"), limits=Limits(max_tokens=2))

        with ThreadPoolExecutor(4) as pool:
            working = [pool.submit(work, model, at) for at in range(4)]
            time.sleep(0.2)
            model.close()
            for one in working:
                one.result()


def test_closing_a_model_within_its_callback_is_refused(tiny_model: LlamaModel, ask: Ask) -> None:
    with pytest.raises(ModelError, match="do not close it within on_text"):
        generate(tiny_model, ask("Hello"), on_text=lambda _: tiny_model.close())
    assert tiny_model.count(ask("Hello"))


def test_closing_ends_the_running_call(tiny_path: Path, ask: Ask) -> None:
    model = LlamaModel(tiny_path, EngineSettings(context=1024))
    threading.Timer(0.3, model.close).start()
    with pytest.raises(CancelledError, match="closed"):
        generate(
            model, ask("Count."), constraint=Constraint(regex="[0-9]{900}"), limits=Limits(max_tokens=900)
        )


@pytest.mark.slow
def test_memory_does_not_grow(tiny_model: LlamaModel, ask: Ask) -> None:
    def call(at: int) -> None:
        prompt = ask(f"{at} ", keep=1, owner=str(at))
        limits = Limits(max_tokens=2)
        if at % 3 == 0:
            tiny_model.generate_many([prompt, ask("Hi")], constraint=Constraint(schema=Pick), limits=limits)
        elif at % 3 == 1:
            tiny_model.score(prompt, ["one two", "three"])
        else:
            with pytest.raises(CancelledError):
                tiny_model.score(prompt, ["one", "two"], limits=Limits(deadline=0.0))

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    for at in range(250):
        call(at)
    before = peak()
    for at in range(250, 1250):
        call(at)
    assert peak() - before < 8 * 1024  # KB


# Opening


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(WeightsError):
        LlamaModel(path)


def test_settings_that_llama_cpp_would_die_of_are_refused(tiny_path: Path) -> None:
    for wrong in (EngineSettings(rows=300), EngineSettings(rows=1), EngineSettings(rows=129, batch=128),
                  EngineSettings(kv_type="q8_0", flash_attention=False)):  # fmt: skip
        with pytest.raises(ModelError):
            LlamaModel(tiny_path, wrong)


def test_the_fingerprint_tells_apart_what_changes_answers(tiny_path: Path, tiny_model: LlamaModel) -> None:
    with LlamaModel(tiny_path, EngineSettings(context=256, kv_type="q8_0")) as other:
        assert other.fingerprint != tiny_model.fingerprint
        assert len(other.fingerprint) == 12
    assert "smol" in tiny_model.name.lower()
