"""What tests of several folders share: the small real model, and prompts to ask it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tanqu.models.engine.llama_model import LlamaModel
from tanqu.models.engine_settings import EngineSettings
from tanqu.models.errors import WeightsError
from tanqu.models.language_model import Message, Prompt, Segment
from tanqu.models.weights.registry import TEST, find


@pytest.fixture(scope="session")
def tiny_path() -> Path:
    """The GGUF file of SmolLM2-135M."""
    try:
        return find(TEST)
    except WeightsError as error:
        pytest.fail(f"the test weights are not here: run `make test`, which fetches them ({error})")


@pytest.fixture(scope="session")
def tiny_model(tiny_path: Path) -> Iterator[LlamaModel]:
    """SmolLM2-135M without a cache folder. It is shared: leave it open."""
    with LlamaModel(tiny_path, EngineSettings(context=2048)) as model:
        yield model


@pytest.fixture(scope="session")
def ask() -> Callable[..., Prompt]:
    """Makes a prompt whose user says the given texts (data).

    `lead` begins the answer, `keep` counts the texts worth caching, `owner` is whose they are.
    """

    def make(*texts: str, lead: str = "", keep: int | None = None, owner: str = "") -> Prompt:
        said = tuple(Segment(text, data=True) for text in texts)
        messages = [Message("system", (Segment("You are brief."),)), Message("user", said, keep)]
        if lead:
            messages.append(Message("assistant", (Segment(lead),)))
        return Prompt(tuple(messages), owner)

    return make
