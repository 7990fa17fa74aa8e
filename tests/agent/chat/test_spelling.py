"""Shorthand is written out and slips of a key are correct_spelling, and nothing else is touched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqu.agent.chat.message_rules import correct_spelling, expand_shorthand

KNOWN = frozenset({"coffee", "horror", "comedy", "something", "romantic", "documentary", "robots", "plan"})


def _no_word(_: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("gimme sth 4 my mum plz", "give me something for my mum please"),
        ("dont like the 1 n 2", "don't like the 1 and 2"),
        ("y did u pick it", "why did you pick it"),
        ("w/o coffee", "without coffee"),
        ("no one w more than 50k", "no one with more than 50k"),
        ("哈哈哈哈哈", "哈哈"),
        ("第一个咋样", "第一个怎么样"),
        ("有木有便宜的", "有没有便宜的"),
        ("sooooo good!!!!", "soo good!!"),
    ],
)
def test_shorthand_is_written_out(text: str, plain: str) -> None:
    assert expand_shorthand(text) == plain


@pytest.mark.parametrize(
    "text", ["1000000", "www.example.org", "an r&b fan", "nothing in me", '"gimme ur pics"', "《有木有》"]
)
def test_numbers_parts_of_words_and_quotations_stay_as_they_are(text: str) -> None:
    assert expand_shorthand(text) == text


def test_a_title_stays_as_it_is_spelled() -> None:
    assert expand_shorthand("like gimme pics plz", ["gimme pics"]) == "like gimme pics please"
    assert correct_spelling("comdy hour", KNOWN.__contains__, _no_word, ["comdy hour"]) == ("comdy hour", ())


@pytest.mark.parametrize(
    ("slip", "word"),
    [
        ("coffe", "coffee"),
        ("horor", "horror"),
        ("comdy", "comedy"),
        ("cmoedy", "comedy"),
        ("somthing", "something"),
        ("romatic", "romantic"),
        ("documantary", "documentary"),
    ],
)
def test_a_slip_is_mended_and_named(slip: str, word: str) -> None:
    assert correct_spelling(f"a {slip} please", KNOWN.__contains__, _no_word) == (f"a {word} please", (word,))


@pytest.mark.parametrize("word", ["plane", "roots", "horrors", "coffees", "science", "come", "robot"])
def test_another_word_is_no_slip(word: str) -> None:
    assert correct_spelling(word, KNOWN.__contains__, _no_word) == (word, ())


def test_a_word_that_some_text_has_is_none_and_neither_is_one_between_two() -> None:
    assert correct_spelling("coffe", KNOWN.__contains__, lambda word: word == "coffe") == ("coffe", ())
    assert correct_spelling("charactr", {"character", "charactor"}.__contains__, _no_word) == ("charactr", ())


@given(st.text("0123456789 .,$元块年月日零一二三十百千万", max_size=60))
def test_figures_are_never_touched(text: str) -> None:
    assert expand_shorthand(text) == text
    assert correct_spelling(text, KNOWN.__contains__, _no_word) == (text, ())


@given(st.text("abcdefghij ", max_size=80))
def test_only_known_words_are_ever_put_in(text: str) -> None:
    _, put_in = correct_spelling(text, KNOWN.__contains__, _no_word)
    assert set(put_in) <= KNOWN
