"""Items, histories and vectors in any number, the same for the same seed: what speed is measured on.

A third of the words of a text are of its topic, the others are of all topics; names are of a few syllables,
and what is common is so by Zipf's law, as in a real catalogue.
"""

import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ...models.embedder import Vectors, clip, unit
from ...models.records import Event, Item

_TOPICS = """
chess: endgame opening gambit tactics knight board clock strategy
cooking: pan recipe dinner oven pasta spice knife baking
garden: roses soil seeds compost pruning lawn herbs greenhouse
space: rocket orbit planet telescope moon galaxy probe comet
crime: detective murder alibi witness inspector case clue prison
music: guitar piano concert melody drums jazz violin album
hiking: trail boots tent compass summit backpack stove rope
photography: lens tripod camera portrait shutter studio flash film
history: empire war king treaty revolution archive castle siege
software: python code algorithm database network compiler server linux
painting: canvas brush watercolour easel pigment sketch oil gallery
football: goal striker league penalty stadium coach derby keeper
cycling: saddle pedal gear helmet race frame tyre climb
travel: island harbour train hotel passport map beach market
romance: wedding letter kiss summer heart promise ballroom secret
horror: ghost vampire cellar curse zombie haunted fog scream
parenting: baby toddler sleep bottle cradle school lullaby bib
fitness: yoga dumbbell running stretch protein gym mat pulse
animals: dog cat horse parrot leash kennel aquarium hamster
fashion: dress jacket silk sneaker denim scarf button collar
economics: bank inflation tax trade stock budget currency bond
medicine: surgeon vaccine clinic nurse anatomy remedy virus heart
sailing: boat anchor mast regatta knot storm rudder deck
wizards: spell dragon wand prophecy tower sword quest elf
"""
_COMMON = """
new great best complete guide story book set home life edition classic small first world modern easy little true day
night light long old big black white red green blue free full hand art power real deluxe original series part volume
kit pack collection made quality perfect gift family people friends learn work play time year city house water
"""
_SYLLABLES = "ba ce do fi ga ho ju ka lo mi na po qui ra so ta ul ve wo xi ya zo bren stel mar tor lin vik"
_GENRES = ("fiction", "practical", "children", "science", "art", "sport", "outdoors", "reference")
_NAMES = 60_000
_START = datetime(2026, 1, 1, tzinfo=UTC)
_CHUNK = 10_000
_ROWS = 2**14

Ints = NDArray[np.int64]


def _topic_words() -> list[list[str]]:
    return [line.replace(":", " ").split() for line in _TOPICS.strip().splitlines()]


def _zipf(random: np.random.Generator, count: int, shape: tuple[int, ...]) -> Ints:
    """Numbers below `count`, the n-th with a probability of about 1 / (n + 3)."""
    drawn = 3 * ((count + 3) / 3) ** random.random(shape) - 3
    return np.minimum(drawn.astype(np.int64), count - 1)


def synthetic_items(count: int, seed: int = 20_260) -> Iterator[Item]:
    """`count` items of 30 topics with a title, a text of twelve words, and price, year and genre."""
    topics, common = _topic_words(), _COMMON.split()
    for start in range(0, count, _CHUNK):
        random = np.random.default_rng((seed, start))
        size = min(_CHUNK, count - start)
        topic = random.integers(0, len(topics), size)
        own = random.integers(0, len(topics[0]), (size, 6))
        other = _zipf(random, len(common), (size, 10))
        names = _zipf(random, _NAMES, (size, 2))
        price, year = random.gamma(2.0, 20.0, size), random.integers(1980, 2026, size)
        for at in range(size):
            words = [topics[topic[at]][one] for one in own[at]]
            rest = [common[one] for one in other[at]]
            maker, name = (_name(int(one)) for one in names[at])
            yield Item(
                id=f"i{start + at:07d}",
                title=f"{name} {words[0]} {rest[0]} {words[1]} {rest[1]}",
                text=" ".join((*rest[2:6], *words[2:4], maker, *rest[6:], *words[4:])),
                tags=(topics[topic[at]][0],),
                kind="product",
                attributes={
                    "price": round(float(price[at]), 2),
                    "year": int(year[at]),
                    "genre": _GENRES[(topic[at] + own[at][0]) % len(_GENRES)],
                },
            )


def _name(number: int) -> str:
    """A made-up name of four syllables, another for every number."""
    syllables, parts = _SYLLABLES.split(), []
    for _ in range(4):
        number, digit = divmod(number, len(syllables))
        parts.append(syllables[digit])
    return "".join(parts)


def synthetic_events(users: int, items: int, seed: int = 7) -> Iterator[Event]:
    """30 purchases of each user, who keeps to the popular items of a few topics.

    Args:
        users: how many; the first is "u0".
        items: the size of the catalogue of `synthetic_items`.
        seed: draws tastes and items.

    Yields:
        The events, user by user, oldest first.
    """
    random = np.random.default_rng(seed)
    for user in range(users):
        taste = random.integers(0, items, 3)
        near = taste[random.integers(0, 3, 30)] + _zipf(random, max(1, min(items, 5_000)), (30,))
        for at, item in enumerate(near % items):
            yield Event(
                id=f"u{user}-{at}",
                user=f"u{user}",
                item=f"i{int(item):07d}",
                action="purchase",
                time=_START + timedelta(hours=at),
            )


class WordEmbedder:
    """Sums of fixed random vectors of a text's words: as wide as the real embedder's, fifty times as fast.

    Texts of one topic lie near each other, so that a graph of neighbours has the work it has in earnest;
    it knows no meaning.
    """

    name = "synthetic-words"
    dimensions = 512

    def __init__(self) -> None:
        random = np.random.default_rng(512)
        self._table = random.standard_normal((_ROWS, self.dimensions), dtype=np.float32)
        self._common = frozenset(_COMMON.split())

    @property
    def fingerprint(self) -> str:
        """The same for every instance: the table is drawn from a fixed seed."""
        return f"{self.name}:{self.dimensions}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (len(texts), 512); a blank text gives a zero row."""
        words = [clip(text).lower().split() for text in texts]
        codes = [zlib.crc32(word.encode()) % _ROWS for row in words for word in row]
        weights = [0.3 if word in self._common else 1.0 for row in words for word in row]
        starts = np.cumsum([0, *(len(row) for row in words)])
        counts = sparse.csr_array(
            (np.array(weights, np.float32), np.array(codes, np.int64), starts), shape=(len(texts), _ROWS)
        )
        return unit(np.asarray(counts @ self._table, dtype=np.float32))


__all__ = ["WordEmbedder", "synthetic_events", "synthetic_items"]
