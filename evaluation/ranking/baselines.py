"""The baselines: simple rankers that share the recommender's data and none of its code.

Every system answers a `RankingTask` with ids, best first. Equal scores keep the order of the candidates, which is
random: no system is helped by the order in which a file lists items.
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


class RankingSystem(Structural):
    """A recommender or a baseline under test."""

    @property
    def name(self) -> str:
        """What a table calls it."""
        ...

    def rank(self, task: RankingTask, k: int) -> list[str]:
        """The candidates, best first; without candidates, the best `k` items that the user has not used."""
        ...


class TrainingData:
    """The training data of the baselines, computed at first use."""

    def __init__(self, protocol: RankingProtocol, catalogue: Catalogue) -> None:
        """`catalogue` holds the items of `protocol`."""
        self.catalogue = catalogue
        self.histories = protocol.histories
        self.titles = {item.id: item.title for item in protocol.items}
        self.seed = protocol.options.seed
        self.scenario = protocol.scenario

    @cached_property
    def ids(self) -> list[str]:
        """All item ids in an order drawn by the seed."""
        order = np.random.default_rng(self.seed).permutation(len(self.titles))
        known = sorted(self.titles)
        return [known[place] for place in order]

    @cached_property
    def place(self) -> dict[str, int]:
        """The position of each item in `ids`."""
        return {item: place for place, item in enumerate(self.ids)}

    @cached_property
    def vectors(self) -> Vectors:
        """Centred unit vectors of the texts, shape (items, dimensions), in the order of `ids`."""
        return self.catalogue.vectors(self.ids)

    @cached_property
    def used(self) -> sparse.csr_array:
        """The interaction matrix, users x items, 1 where a user used an item; columns in the order of `ids`."""
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
        """Item-item cosine similarities of the interaction matrix, with a zero diagonal."""
        scale = sparse.diags_array(1 / np.sqrt(np.maximum(self.counts, 1)))
        found = sparse.csr_array(scale @ (self.used.T @ self.used) @ scale)
        found.setdiag(0)
        return found

    def places(self, items: Sequence[str]) -> list[int]:
        """The positions of items in `ids`; unknown ones are left out."""
        return [self.place[item] for item in items if item in self.place]


ScoreFunction = Callable[[TrainingData, RankingTask], Values]


def by_chance(data: TrainingData, task: RankingTask) -> Values:
    """Random scores, drawn for each user."""
    return np.random.default_rng([data.seed, 1, zlib.crc32(task.user.encode())]).random(len(data.ids))


def by_popularity(data: TrainingData, task: RankingTask) -> Values:
    """Popularity: the number of users of each item."""
    return data.counts


def by_words(data: TrainingData, task: RankingTask) -> Values:
    """BM25 with the titles of the last ten events as the query."""
    words = " ".join(data.titles.get(item, "") for item in task.history[-_WORDS_FROM:])
    return np.asarray(data.catalogue.word_scores(words, data.ids), np.float64)


def by_vectors(data: TrainingData, task: RankingTask) -> Values:
    """The mean of the three highest cosine similarities to the used items' texts."""
    places = data.places(task.history)
    if not places:
        return np.zeros(len(data.ids))
    similarity = data.vectors @ data.vectors[places].T
    return np.asarray(np.sort(similarity, axis=1)[:, -_BEST:].mean(axis=1), np.float64)


def by_item_neighbours(data: TrainingData, task: RankingTask) -> Values:
    """ItemKNN (Sarwar et al. 2001, section 3.1): the sum of the cosines with the used items."""
    places = data.places(task.history)
    if not places:
        return np.zeros(len(data.ids))
    return np.asarray(data.cosines[places].sum(axis=0), np.float64).ravel()


SCORES: Mapping[str, ScoreFunction] = {
    "random": by_chance,
    "popularity": by_popularity,
    "bm25": by_words,
    "vectors": by_vectors,
    "itemknn": by_item_neighbours,
}


class ScoreRanker:
    """Ranks by one score function over the catalogue."""

    def __init__(self, name: str, data: TrainingData) -> None:
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


class ListingRanker:
    """Listwise ranking by the language model, as in LLMRank (Hou et al. 2024) and RankGPT (Sun et al. 2023).

    The prompt numbers the candidates and the model lists the numbers. Repetitions and numbers out of range are
    dropped, and candidates that it leaves out follow in the order given.
    """

    name = "listing"

    def __init__(self, data: TrainingData, model: LanguageModel, prompts: Prompts) -> None:
        """Use the recommender's own model and templates.

        Args:
            data: titles and scenario.
            model: writes the list.
            prompts: holds the template `listing`.
        """
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
    """The candidates in the order of the numbers (from 1) in an answer; those that it leaves out come last."""
    numbers = [int(number) - 1 for number in _NUMBER.findall(answer) if len(number) < 6]
    places = [place for place in dict.fromkeys(numbers) if 0 <= place < len(candidates)]
    return [candidates[place] for place in dict.fromkeys([*places, *range(len(candidates))])]


BASELINES = (*SCORES, ListingRanker.name)


def baselines(
    names: Sequence[str], data: TrainingData, model: LanguageModel | None, prompts: Prompts
) -> list[RankingSystem]:
    """The baselines of these names.

    Args:
        names: keys of `BASELINES`; repetitions count once.
        data: what they learn from.
        model: needed by `listing` only.
        prompts: the templates.

    Returns:
        The systems in the order of the names.

    Raises:
        InputError: as `check_names`.
    """
    check_names(names, with_model=model is not None)
    systems: list[RankingSystem] = []
    for name in dict.fromkeys(names):
        if model is not None and name == ListingRanker.name:
            systems.append(ListingRanker(data, model, prompts))
        else:
            systems.append(ScoreRanker(name, data))
    return systems


def check_names(names: Sequence[str], *, with_model: bool, full: bool = False) -> None:
    """Check the names of baselines before hours of measuring.

    Args:
        names: names to check.
        with_model: whether there is a language model.
        full: whether the whole catalogue is ranked.

    Raises:
        InputError: a name is unknown, or `listing` has no model, or it would have the whole catalogue to list.
    """
    if unknown := [name for name in names if name not in BASELINES]:
        msg = f"there is no baseline {unknown[0]!r}: use some of {', '.join(BASELINES)}"
        raise InputError(msg)
    if ListingRanker.name in names and not with_model:
        msg = "the baseline 'listing' needs a language model: see `tanqu models list`, or leave it out"
        raise InputError(msg)
    if ListingRanker.name in names and full:
        raise InputError(_TOO_MANY)


__all__ = [
    "BASELINES",
    "TrainingData",
    "ListingRanker",
    "ScoreRanker",
    "RankingSystem",
    "baselines",
    "check_names",
    "listed",
]
