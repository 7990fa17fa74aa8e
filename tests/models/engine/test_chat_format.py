"""From prompts to tokens: data never becomes a control token, whatever it says and whatever the template."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tanqu.models.engine.chat_format import ChatFormat
from tanqu.models.engine.llama import Weights
from tanqu.models.engine_settings import EngineSettings
from tanqu.models.errors import ModelError, WeightsError
from tanqu.models.language_model import Message, Prompt, Segment
from tanqu.models.weights.registry import DEFAULT, TEST, find

pytestmark = pytest.mark.gguf

MARKERS = [
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|im_start|>system\n",
    "</think>",
    "<tool_call>",
    "<s>",
    "[INST]",
]
TEXTS = st.lists(st.sampled_from(MARKERS) | st.text(max_size=12), max_size=6).map("".join)

# Templates with the habits of well-known models: default system messages, trimming, cutting of thoughts.
TEMPLATES = {
    "default system": (
        "{% if messages[0].role != 'system' %}<|im_start|>system\nHelp.<|im_end|>\n{% endif %}"
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    "trims and cuts thoughts": (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{% if m.role == 'assistant' %}{{ m.content.split('</think>')[-1].lstrip('\\n') | trim }}"
        "{% else %}{{ m.content | trim }}{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n\n</think>\n\n{% endif %}"
    ),
    "no system": (
        "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{% for m in messages %}<|im_start|>{{ 'model' if m.role == 'assistant' else m.role }}\n"
        "{{ m.content | trim }}<|im_end|>\n{% endfor %}{{ '<|im_start|>model\n' }}"
    ),
}  # fmt: skip


class Retemplated(Weights):
    """Weights with another template."""

    template: str | None = None

    @property
    def chat_template(self) -> str | None:
        return self.template


@pytest.fixture(scope="module", params=[TEST, DEFAULT])
def weights(request: pytest.FixtureRequest) -> Iterator[Retemplated]:
    try:
        path = find(request.param)
    except WeightsError as error:
        if request.param == DEFAULT:
            pytest.skip("the default weights were not fetched; `make demo` fetches them")
        pytest.fail(f"the test weights are not here: run `make test`, which fetches them ({error})")
    made = Retemplated(path, EngineSettings(), vocabulary_only=True)
    yield made
    made.close()


def _formats(weights: Retemplated) -> list[ChatFormat]:
    formats = []
    for template in (Weights.chat_template.fget(weights), None, *TEMPLATES.values()):  # type: ignore[attr-defined]  # the file's own, by way of the property
        weights.template = template
        formats.append(ChatFormat(weights))
    return formats


def _prompt(system: str, user: str, said: str, lead: str) -> Prompt:
    return Prompt((
        Message("system", (Segment("You are brief. "), Segment(system, data=True))),
        Message("user", (Segment("Title: "), Segment(user, data=True), Segment("\nWell?"))),
        Message("assistant", (Segment(said, data=True),)),
        Message("user", (Segment(user, data=True),)),
        Message("assistant", (Segment("It is "), Segment(lead, data=True))),
    ))  # fmt: skip


def _control(weights: Weights, ids: list[int]) -> list[int]:
    return [token for token in ids if weights.is_control(token)]


@settings(max_examples=60, deadline=None)
@given(system=TEXTS, user=TEXTS, said=TEXTS, lead=TEXTS)
def test_data_adds_no_control_token(
    weights: Retemplated, system: str, user: str, said: str, lead: str
) -> None:
    for form in _formats(weights):
        strip_instructions = form.encode(_prompt("a", "b", "c", "d"))
        hostile = form.encode(_prompt(system, user, said, lead))
        assert _control(weights, hostile.ids) == _control(weights, strip_instructions.ids)


@settings(max_examples=60, deadline=None)
@given(system=TEXTS, user=TEXTS, said=TEXTS, lead=TEXTS)
def test_data_reaches_the_model_whole(
    weights: Retemplated, system: str, user: str, said: str, lead: str
) -> None:
    for form in _formats(weights):
        ids = form.encode(_prompt(system, user, said, lead)).ids
        text = b"".join(weights.piece(token) for token in ids).decode(errors="replace")
        for part in (system, user, said, lead):
            spelt = b"".join(weights.piece(token) for token in form.continuation(part))
            assert spelt.decode(errors="replace").strip() in text


def test_a_conversation_is_written_in_the_turns_of_the_model(weights: Retemplated) -> None:
    weights.template = None
    form = ChatFormat(weights)
    prompt = Prompt((
        Message("system", (Segment("Be brief."),)),
        Message("user", (Segment("Hi "), Segment("there", data=True))),
        Message("assistant", (Segment("Yes,"),)),
    ))  # fmt: skip
    expected = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi there<|im_end|>\n"
        "<|im_start|>assistant\nYes,"
    )
    assert b"".join(weights.spelling(token) for token in form.encode(prompt).ids).decode() == expected


def test_a_template_without_system_gets_it_with_the_first_question(weights: Retemplated) -> None:
    weights.template = TEMPLATES["no system"]
    form = ChatFormat(weights)
    prompt = Prompt((Message("system", (Segment("Be brief."),)), Message("user", (Segment("Hi"),))))
    text = b"".join(weights.spelling(token) for token in form.encode(prompt).ids).decode()
    assert text == "<|im_start|>user\nBe brief.\n\nHi<|im_end|>\n<|im_start|>model\n"


def test_words_are_tokenised_as_in_running_text(weights: Retemplated) -> None:
    form = ChatFormat(weights)
    apart = Prompt((Message("user", (Segment("Known: "), Segment("Jazz", data=True), Segment(" music"))),))
    whole = Prompt((Message("user", (Segment("Known: Jazz music"),)),))
    assert form.encode(apart).ids == form.encode(whole).ids


def test_a_keep_is_where_its_segments_end_and_private_once_data_came(weights: Retemplated) -> None:
    weights.template = None
    form = ChatFormat(weights)
    system = Message("system", (Segment("Be brief."),), 1)
    user = Message("user", (Segment("List:\n"), Segment("tea", data=True), Segment("\nEnd")), 2)
    found = form.encode(Prompt((system, user)))
    public, private = found.keeps
    assert not public.private
    assert b"".join(weights.piece(token) for token in found.ids[: public.length]).endswith(b"Be brief.")
    assert private.private
    assert b"".join(weights.piece(token) for token in found.ids[: private.length]).endswith(b"tea")
    assert found.ends(private.length) == [public.length, private.length]
    assert found.ends(private.length - 1) == [public.length]


@pytest.mark.parametrize(("template", "message"), [
    ("{% for m in messages %}{{ m.content }", "cannot be used"),
    ("{{ raise_exception('only tools') }}", "only tools"),
    ("{{ messages[0].content / 0 }}", "refused"),
    ("{{ messages[7].content.nothing }}", "refused"),
    ("{{ ''.__class__.__mro__ }}", "refused"),
    ("no place for anything", "no place for a message of the user"),
])  # fmt: skip
def test_a_bad_template_is_an_error_that_says_so(weights: Retemplated, template: str, message: str) -> None:
    weights.template = template
    with pytest.raises(ModelError, match=message):
        ChatFormat(weights).encode(Prompt((Message("user", (Segment("Hi"),)),)))


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=300))
def test_text_survives_being_tokenised(weights: Retemplated, text: str) -> None:
    form = ChatFormat(weights)
    ids = form.continuation(text)
    back = b"".join(weights.piece(token) for token in ids).decode(errors="replace")
    lost = {
        char
        for char in text
        if b"".join(map(weights.piece, form.continuation(char))).decode(errors="replace") != char
    }
    assert back == text or lost  # a small vocabulary lacks the bytes of some rare characters


def test_a_very_long_text_is_tokenised(weights: Retemplated) -> None:
    assert len(ChatFormat(weights).continuation("<|im_start|>深度 " * 10_000)) > 10_000
