"""What the recommender is compared with: simple rankers that share its data, and none of its code.

Every system answers a task (evaluation/protocol.py) with ids, best first. Equal scores keep the order of
the candidates, which was drawn: no system is helped by the order in which a file lists things.
"""

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Protocol as Structural

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ...models.embedder import Vectors
from ...models.errors import InputError
from ...models.language_model import LanguageModel, Limits, generate
from ...models.text import clean, language_of
from ...prompts import Prompts
from ...vectorstore import Catalogue
from ..data.protocol import RankingProtocol, RankingTask

Values = NDArray[np.float64]

_WORDS_FROM = 10
_BEST = 3
_TOLD = 20
_TOO_MANY = "the baseline 'listing' cannot rank a whole catalogue: leave it out, or leave --full out"
_NUMBER = re.compile(r"\d+")


class System(Structural):
    """Something that ranks."""

    @property
    def name(self) -> str:
        """What a table calls it."""
        ...

    def rank(self, task: RankingTask, k: int) -> list[str]:
        """The candidates, best first; without candidates, the best `k` that the user has not used."""
        ...


class Data:
    """What the baselines know of a data set, computed at the first need."""

    def __init__(self, protocol: RankingProtocol, catalogue: Catalogue) -> None:
        """`catalogue` holds the items of `protocol`."""
        self.catalogue = catalogue
        self.histories = protocol.histories
        self.titles = {item.id: item.title for item in protocol.items}
        self.seed = protocol.options.seed
        self.scenario = protocol.scenario

    @cached_property
    def ids(self) -> list[str]:
        """All items in an order drawn by the seed."""
        order = np.random.default_rng(self.seed).permutation(len(self.titles))
        known = sorted(self.titles)
        return [known[place] for place in order]

    @cached_property
    def place(self) -> dict[str, int]:
        """Where each item is in `ids`."""
        return {item: place for place, item in enumerate(self.ids)}

    @cached_property
    def vectors(self) -> Vectors:
        """Centred unit vectors of the texts, in the order of `ids`."""
        return self.catalogue.vectors(self.ids)

    @cached_property
    def used(self) -> sparse.csr_array:
        """Which user (row) used which item (column, in the order of `ids`)."""
        pairs = {(user, self.place[item]) for user, one in enumerate(self.histories) for item in one
                 if item in self.place}  # fmt: skip
        rows, columns = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2).T
        shape = (len(self.histories), len(self.ids))
        return sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)

    @cached_property
    def counts(self) -> Values:
        """Users of each item, in the order of `ids`."""
        return np.asarray(self.used.sum(axis=0), np.float64).ravel()

    @cached_property
    def cosines(self) -> sparse.csr_array:
        """Cosine between the users of every two items, 0 for an item with itself."""
        scale = sparse.diags_array(1 / np.sqrt(np.maximum(self.counts, 1)))
        found = sparse.csr_array(scale @ (self.used.T @ self.used) @ scale)
        found.setdiag(0)
        return found

    def places(self, items: Sequence[str]) -> list[int]:
        """Where items are in `ids`; unknown ones are left out."""
        return [self.place[item] for item in items if item in self.place]


Score = Callable[[Data, RankingTask], Values]


def by_chance(data: Data, task: RankingTask) -> Values:
    """Anything."""
    return np.random.default_rng([data.seed, 1, zlib.crc32(task.user.encode())]).random(len(data.ids))


def by_popularity(data: Data, task: RankingTask) -> Values:
    """How many users used it."""
    return data.counts


def by_words(data: Data, task: RankingTask) -> Values:
    """BM25 for the titles of the last ten events."""
    words = " ".join(data.titles.get(item, "") for item in task.history[-_WORDS_FROM:])
    return np.asarray(data.catalogue.word_scores(words, data.ids), np.float64)


def by_vectors(data: Data, task: RankingTask) -> Values:
    """Mean of the three best similarities to what was used, by text."""
    places = data.places(task.history)
    if not places:
        return np.zeros(len(data.ids))
    similarity = data.vectors @ data.vectors[places].T
    return np.asarray(np.sort(similarity, axis=1)[:, -_BEST:].mean(axis=1), np.float64)


def by_item_neighbours(data: Data, task: RankingTask) -> Values:
    """Item-based nearest neighbours: the sum of the cosines with what was used."""
    places = data.places(task.history)
    if not places:
        return np.zeros(len(data.ids))
    return np.asarray(data.cosines[places].sum(axis=0), np.float64).ravel()


SCORES: Mapping[str, Score] = {
    "random": by_chance,
    "popularity": by_popularity,
    "bm25": by_words,
    "vectors": by_vectors,
    "itemknn": by_item_neighbours,
}


class Scored:
    """Ranks by one score over the catalogue."""

    def __init__(self, name: str, data: Data) -> None:
        """`name` is a key of SCORES."""
        self.name = name
        self._data = data

    def rank(self, task: RankingTask, k: int) -> list[str]:
        """See `System`."""
        scores = SCORES[self.name](self._data, task)
        if task.candidates is not None:
            own = scores[self._data.places(task.candidates)]
            return [task.candidates[place] for place in np.argsort(-own, kind="stable")]
        open_ = np.ones(len(scores), dtype=np.bool_)
        open_[self._data.places(task.history)] = False
        order = np.argsort(-scores, kind="stable")
        return [self._data.ids[place] for place in order[open_[order]][:k]]


class Listing:
    """The model reads the candidates with numbers and lists the numbers, as in LLMRank and RankGPT.

    What it names twice counts once, numbers that are none are passed over, and what it forgets follows in
    the order given.
    """

    name = "listing"

    def __init__(self, data: Data, model: LanguageModel, prompts: Prompts) -> None:
        """The same model and templates as the recommender's."""
        self._data, self._model, self._prompts = data, model, prompts

    def rank(self, task: RankingTask, k: int) -> list[str]:
        """See `System`; raises InputError for the whole catalogue, which no prompt can hold."""
        if task.candidates is None:
            raise InputError(_TOO_MANY)
        shown = [clean(self._data.titles[item], 120) for item in task.candidates]
        liked = [self._data.titles.get(item, "") for item in task.history[-_TOLD:]]
        prompt = self._prompts.render(
            "listing",
            language_of(shown),
            owner=task.user,
            scenario=self._data.scenario,
            lines=[clean(title, 120) for title in liked if title],
            candidates=shown,
        )
        limits = Limits(max_tokens=6 * len(shown))
        answer, _ = generate(self._model, prompt, limits=limits)
        return listed(answer.text, task.candidates)


def listed(answer: str, candidates: Sequence[str]) -> list[str]:
    """The candidates in the order of the numbers (from 1) in a text; those that it leaves out come last."""
    named = [int(number) - 1 for number in _NUMBER.findall(answer) if len(number) < 6]
    places = [place for place in dict.fromkeys(named) if 0 <= place < len(candidates)]
    return [candidates[place] for place in dict.fromkeys([*places, *range(len(candidates))])]


BASELINES = (*SCORES, Listing.name)


def baselines(
    names: Sequence[str], data: Data, model: LanguageModel | None, prompts: Prompts
) -> list[System]:
    """The systems of these names, in order; raises InputError as `check_names` does."""
    check_names(names, with_model=model is not None)
    found: list[System] = []
    for name in dict.fromkeys(names):
        if model is not None and name == Listing.name:
            found.append(Listing(data, model, prompts))
        else:
            found.append(Scored(name, data))
    return found


def check_names(names: Sequence[str], *, with_model: bool, full: bool = False) -> None:
    """See that there are such baselines, before hours of measuring.

    Raises:
        InputError: a name is unknown, or `listing` has no model, or it would have the whole catalogue to list.
    """
    if unknown := [name for name in names if name not in BASELINES]:
        msg = f"there is no baseline {unknown[0]!r}: use some of {', '.join(BASELINES)}"
        raise InputError(msg)
    if Listing.name in names and not with_model:
        msg = "the baseline 'listing' needs a language model: see `tanqu models list`, or leave it out"
        raise InputError(msg)
    if Listing.name in names and full:
        raise InputError(_TOO_MANY)


__all__ = ["BASELINES", "Data", "Listing", "Scored", "System", "baselines", "check_names", "listed"]
