"""Weights fitted to what users took: a planted taste is found, chance is not, and nothing else is changed."""

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tanqu.agent.ranking.signals import SIGNALS
from tanqu.agent.ranking.tuning import FEWEST_USERS, TuningInputs, held_out_choices, tune
from tanqu.agent.ranking.weights import (
    NEGATIVES,
    HeldOutChoice,
    RankingWeights,
    as_toml,
    fit,
    load_weights,
    save_weights,
)
from tanqu.agent.recommender import Recommender
from tanqu.agent.settings import Settings
from tanqu.models.embedder import HashEmbedder
from tanqu.models.errors import InputError
from tanqu.models.records import Event, Item
from tanqu.models.scripted_model import ScriptedModel

NOISE = RankingWeights(weights={"history": 1.0, "popularity": 1.0, "negative": -1.0, "request": 2.0})


def planted(count: int, seed: int, *, model: float = 0.0, **taste: float) -> list[HeldOutChoice]:
    """Choices of users who go by these weights (and by the model's likelihood), among signals of pure chance."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        signals = {name: rng.normal(size=NEGATIVES + 1) for name in ("history", "popularity", "negative")}
        given, alone = rng.normal(size=(2, NEGATIVES + 1))
        score = sum(weight * signals[name] for name, weight in taste.items()) + model * (given - alone)
        taken = int(np.argmax(score + rng.gumbel(size=NEGATIVES + 1)))
        order = [taken, *(at for at in range(NEGATIVES + 1) if at != taken)]
        shown = {name: values[order] for name, values in signals.items()}
        made.append(HeldOutChoice(shown, given[order] if model else None, alone[order] if model else None, 5))
    return made


def inputs(shop: Recommender) -> TuningInputs:
    return TuningInputs(
        shop.memory,
        shop.catalogue,
        shop.settings,
        shop.pipeline.prompts,
        shop.pipeline.weights,
        shop.pipeline.priors,
        shop.model,
    )


# --- the fit ----------------------------------------------------------------------------------------


def test_a_planted_taste_is_found() -> None:
    found = fit(planted(400, 1, history=2.0, popularity=0.2), NOISE)
    weights = found.new.weights
    assert 6 < weights["history"] / weights["popularity"] < 16
    assert abs(weights["negative"]) < 0.1 * weights["history"]
    assert found.better and found.after > found.before and found.low < found.gain < found.high


def test_what_users_shun_stays_below_zero() -> None:
    weights = fit(planted(300, 2, negative=-2.0), NOISE).new.weights
    assert weights["negative"] < -1 and 0 <= weights["history"] < 0.3


def test_the_model_and_its_prior_are_fitted_where_there_is_a_model() -> None:
    found = fit(planted(300, 3, model=2.0), NOISE.model_copy(update={"alpha": 0.2}))
    assert found.with_model and found.new.weights["model"] > 1
    assert found.new.alpha > 0.6  # planted at 1, held back towards 0.2


def test_a_model_that_counts_by_a_share_needs_the_more_weight() -> None:
    whole = planted(300, 3, model=1.0, history=1.0)
    by_share = [replace(one, model_share=0.5) for one in whole]
    one, other = (fit(found, NOISE).new.weights for found in (whole, by_share))
    assert other["model"] / other["history"] > 1.5 * one["model"] / one["history"]


def test_a_signal_that_nobody_goes_by_is_no_gain() -> None:
    good = NOISE.model_copy(update={"weights": {"history": 1.0, "popularity": 0.0, "negative": 0.0}})
    assert not fit(planted(200, 4, history=1.0), good).better
    assert not fit(planted(200, 5), NOISE).better


def test_what_was_not_fitted_keeps_its_weight() -> None:
    start = NOISE.model_copy(update={"weights": {**NOISE.weights, "model": 0.4, "recency": 0.3}})
    new = fit(planted(100, 6, history=1.0), start).new.weights
    assert (new["request"], new["model"], new["recency"]) == (2.0, 0.4, 0.3)


@settings(max_examples=8, deadline=None)
@given(
    start=st.fixed_dictionaries({name: st.floats(-3, 3) for name in ("history", "popularity", "negative")}),
    taste=st.floats(-2, 2),
    seed=st.integers(0, 99),
)
def test_every_weight_keeps_its_sign_and_the_loss_never_makes_a_ranking_of_nan(
    start: dict[str, float], taste: float, seed: int
) -> None:
    found = fit(planted(25, seed, history=taste), RankingWeights(weights=start))
    assert set(found.new.weights) == set(start)
    for name, weight in found.new.weights.items():
        against = start[name] < 0 or name == "negative"
        assert weight <= 0 if against else weight >= 0
    assert 0 <= found.before <= 1 and 0 <= found.after <= 1 and found.low <= found.high


def test_the_same_seed_gives_the_same_weights() -> None:
    made = planted(60, 7, history=1.0)
    assert fit(made, NOISE, seed=3) == fit(made, NOISE, seed=3)
    assert fit(made, NOISE, seed=3).new.weights == fit(made, NOISE, seed=4).new.weights  # folds, not the fit


# --- the file ---------------------------------------------------------------------------------------


def test_kept_weights_are_read_back_with_their_provenance(tmp_path: Path) -> None:
    found = fit(planted(60, 8, history=1.0), NOISE)
    path = save_weights(found.new, tmp_path)
    assert load_weights(path) == found.new
    assert "60 users, 300 events" in found.new.provenance and "seed 0" in found.new.provenance
    assert [one.name for one in tmp_path.iterdir()] == ["ranking.toml"]


@given(st.dictionaries(st.sampled_from(SIGNALS), st.floats(-100, 100)), st.floats(0, 1))
def test_any_weights_survive_their_file(weights: dict[str, float], alpha: float) -> None:
    made = RankingWeights(alpha=alpha, weights=weights, provenance='a "quote", 探趣')
    assert RankingWeights.model_validate(tomllib.loads(as_toml(made))) == made


# --- from events ------------------------------------------------------------------------------------

TOPICS = ("chess", "violin", "garden", "rocket", "tea", "yoga")
ITEMS = [Item(id=f"{topic}{at}", title=f"{topic} number {at}") for topic in TOPICS for at in range(8)]


def bought(user: int) -> list[Event]:
    """Four things of one topic, then a fifth: text alone says which."""
    topic = TOPICS[user % len(TOPICS)]
    return [
        Event.model_validate(
            {
                "id": f"{user}-{at}",
                "user": f"u{user}",
                "item": f"{topic}{(user + at) % 8}",
                "action": "purchase",
                "time": f"2026-01-0{at + 1}T00:00:00Z",
            }
        )
        for at in range(5)
    ]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Recommender]:
    with Recommender.open(
        embedder=HashEmbedder(128), settings=Settings(home=tmp_path / "home", model="none")
    ) as made:
        made.add_items(ITEMS)
        yield made


def test_each_user_is_asked_about_their_last_new_item_among_what_they_never_touched(
    shop: Recommender,
) -> None:
    shop.record([event for user in range(6) for event in bought(user)])
    found = held_out_choices(inputs(shop), 100, 0)
    assert [one.events for one in found] == [4] * 6
    for one in found:
        assert all(len(values) == NEGATIVES + 1 for values in one.signals.values())
        assert one.signals["history"][0] > 1  # the target stands first


def test_nobody_is_asked_about_something_used_before_or_disliked(shop: Recommender) -> None:
    again = bought(0)[0].model_copy(update={"id": "again", "time": bought(0)[4].time})
    disliked = again.model_copy(update={"id": "no", "item": "tea7", "action": "dislike"})
    shop.record([*bought(0), again, disliked])
    assert [one.events for one in held_out_choices(inputs(shop), 100, 0)] == [
        4
    ]  # before the fifth purchase, still the target


def test_what_others_did_is_learnt_without_the_targets(shop: Recommender) -> None:
    """Six users whose last item nobody else has: if its use were counted, popularity would know the target."""
    shop.record([event for user in range(6) for event in bought(user * 6)])
    only = [Item(id=f"only{user}", title=f"thing {user}") for user in range(6)]
    shop.add_items(only)
    last = [
        bought(user * 6)[4].model_copy(update={"id": f"l{user}", "item": f"only{user}"}) for user in range(6)
    ]
    shop.record([one.model_copy(update={"time": datetime(2026, 2, 1, tzinfo=UTC)}) for one in last])
    for one in held_out_choices(inputs(shop), 100, 0):
        assert one.signals["popularity"][0] == one.signals["popularity"].min()


def test_a_small_draw_is_part_of_a_larger_one_and_progress_is_told(shop: Recommender) -> None:
    shop.record([event for user in range(12) for event in bought(user)])
    told: list[tuple[int, int]] = []
    few, more = (
        held_out_choices(inputs(shop), 4, 1, lambda *at: told.append(at)),
        held_out_choices(inputs(shop), 8, 1),
    )
    assert told == [(at, 4) for at in range(1, 5)]
    assert len(few) == 4 and len(more) == 8


def test_too_few_users_are_an_error_that_says_how_many(shop: Recommender) -> None:
    shop.record([event for user in range(5) for event in bought(user)])
    with pytest.raises(InputError, match=f"5 users can be measured and tuning needs {FEWEST_USERS}"):
        tune(inputs(shop))


def test_the_model_is_asked_for_each_candidate(tmp_path: Path) -> None:
    model = ScriptedModel(scorer=lambda prompt, text: -float(len(text)))
    home = Settings(home=tmp_path / "home", model="none")
    with Recommender.open(model=model, embedder=HashEmbedder(128), settings=home) as shop:
        shop.add_items(ITEMS)
        shop.record([event for user in range(FEWEST_USERS) for event in bought(user)])
        found = tune(inputs(shop))
        assert found.with_model and found.users == FEWEST_USERS


def test_an_interrupted_fit_goes_on_where_it_was(tmp_path: Path) -> None:
    model = ScriptedModel(scorer=lambda prompt, text: -float(len(text)))
    home = Settings(home=tmp_path / "home", model="none")

    def interrupt(done: int, _: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with Recommender.open(model=model, embedder=HashEmbedder(128), settings=home) as shop:
        shop.add_items(ITEMS)
        shop.record([event for user in range(FEWEST_USERS) for event in bought(user)])
        with pytest.raises(KeyboardInterrupt):
            tune(inputs(shop), progress=interrupt)
        before = len(model.history)
        found = tune(inputs(shop))
        read = len(model.history) - before
        assert read >= FEWEST_USERS - 5
        again = tune(inputs(shop))
        assert len(model.history) == before + read and again == found
        model.history.clear()
        shop.forget_user("u0")
        shop.record(bought(0))
        assert tune(inputs(shop)) == found
        assert len(model.history) == 1


def test_another_history_is_read_anew_and_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    home = Settings(home=tmp_path / "home", model="none")
    model = ScriptedModel(scorer=lambda prompt, text: -float(len(text)))
    with Recommender.open(model=model, embedder=HashEmbedder(128), settings=home) as shop:
        shop.add_items(ITEMS)
        shop.record(bought(0))
        first = held_out_choices(inputs(shop), 1, 0)[0].given
        shop.record([bought(0)[0].model_copy(update={"id": "new", "item": "yoga7"})])
        model.history.clear()
        assert len(held_out_choices(inputs(shop), 1, 0)) == 1 and len(model.history) == 1
        with shop.memory.engine.connect() as connection:
            rows = connection.exec_driver_sql(
                "SELECT count(*) FROM model_scores WHERE \"user\" <> ''"
            ).scalar()
        assert rows == NEGATIVES + 1 and first is not None
