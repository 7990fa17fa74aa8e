"""The bank of examples: enough of everything, nothing twice, and neighbours that mean the same."""

import json
from collections import Counter
from importlib.resources import files

import pytest

from tanqu.agent.chat.tool_selection import ACTIONS, ExampleBank, load_examples
from tanqu.models.embedder import SentenceEmbedder
from tanqu.models.records import Language

EMBEDDER = SentenceEmbedder()
LANGUAGES: tuple[Language, ...] = ("zh", "en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_bank_has_enough_of_every_action_and_says_nothing_twice(language: Language) -> None:
    examples = load_examples(language)
    counts = Counter(one.action for one in examples)
    assert set(counts) == set(ACTIONS) and min(counts.values()) >= 10
    assert len({one.say for one in examples}) == len(examples)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_example_is_a_sentence_of_the_dialogues_kept_unread(language: Language) -> None:
    text = files("tanqu.evaluation.chat").joinpath(f"dialogues.{language}.jsonl").read_text(encoding="utf-8")
    held_out = [json.loads(line) for line in text.split("\n") if line]
    said = {turn["say"].strip("？?。!！") for one in held_out if one["held_out"] for turn in one["turns"]}
    assert not said & {one.say for one in load_examples(language)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_most_examples_are_found_by_their_neighbours(language: Language) -> None:
    bank = ExampleBank(language, EMBEDDER)
    right = 0
    for one in bank.examples[::4]:
        votes, _, _ = bank.vote(one.say, without=one)
        right += ACTIONS[int(votes.argmax())] == one.action
    assert right >= 0.6 * len(bank.examples[::4])
