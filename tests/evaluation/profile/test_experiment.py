"""The figures of a profile: what they mean, and that nothing held out reaches the profile."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from tanqu.evaluation.profile.experiment import calibration_error, evaluate_profile, separation
from tanqu.models.embedder import HashEmbedder
from tanqu.models.language_model import Prompt
from tanqu.models.scripted_model import ScriptedModel

KEYS = {"profile_share", "ndcg_profile", "ndcg_history", "coverage", "evidence_valid", "stability"}
MODEL_KEYS = {"calibration_error", "calibration_error_same_users", "calibration_error_written"}


def reply(prompt: Prompt) -> str:
    text = prompt.text
    if "how sure" in text.lower():
        return '{"confidence":90}'
    if "numbers of the events" in text:
        return json.dumps({"interests": [
            {"keyword": "everything", "theme": "all", "events": [1, 2, 3, 999]},
            {"keyword": "the rest", "theme": "all", "events": [4, 5]},
        ]})  # fmt: skip
    return json.dumps({"keyword": f"topic {sum(map(ord, text)) % 9973}", "theme": "leisure"})


def test_the_figures_have_intervals_and_meet_what_is_asked_on_plain_topics(dataset: Path) -> None:
    seen: list[tuple[int, int]] = []
    model = ScriptedModel(reply=reply)
    found = evaluate_profile(
        dataset, 6, model, lambda done, all_: seen.append((done, all_)), HashEmbedder(256)
    )
    figures = found["figures"]
    assert set(figures) >= KEYS | MODEL_KEYS | {"separation", "separation_single_prompt"}
    assert all(one["low"] <= one["mean"] <= one["high"] for one in figures.values())
    assert figures["evidence_valid"]["mean"] == figures["coverage"]["mean"] == 1.0
    assert figures["stability"]["mean"] == 1.0 and figures["profile_share"]["mean"] >= 0.95
    assert figures["separation"]["mean"] > figures["separation_single_prompt"]["mean"]
    assert seen == [(done, 18) for done in range(19)]


def test_without_a_model_what_it_says_of_itself_is_left_out(dataset: Path) -> None:
    figures = evaluate_profile(dataset, 3, None, None, HashEmbedder(256))["figures"]
    assert set(figures) >= KEYS and not set(figures) & (MODEL_KEYS | {"seconds", "separation_single_prompt"})


def test_a_profile_of_thirty_events_is_timed(dataset: Path) -> None:
    with (dataset / "d.inter").open("a", encoding="utf-8") as file:
        file.write(f"long\t{' '.join(str(at) for at in range(35))}\t40\n")
    figures = evaluate_profile(dataset, 6, ScriptedModel(reply=reply), None, HashEmbedder(256))["figures"]
    assert figures["seconds"]["mean"] > 0 and figures["seconds_ratio"]["mean"] > 0


def test_what_is_held_out_is_never_shown_to_the_model(dataset: Path) -> None:
    model = ScriptedModel(reply=reply)
    evaluate_profile(dataset, 1, model, None, HashEmbedder(256))
    assert model.history and not any("chess endgame volume 25" in prompt.text for prompt in model.history)


def test_separation_leaves_the_event_itself_out() -> None:
    vectors = np.eye(4, dtype=np.float32)
    assert separation(vectors, [[0, 1], [2, 3]]) == 0.0
    vectors[1], vectors[3] = vectors[0], vectors[2]
    assert separation(vectors, [[0, 1], [2, 3]]) == 1.0
    assert separation(vectors, [[0, 2], [1, 3]]) == pytest.approx(-0.5)
    assert separation(vectors, [[0, 1], [0, 1]]) == 0.0  # the same events twice are not told apart
    assert separation(vectors, [[0], [1]]) is None and separation(vectors, [[0, 1]]) is None


def test_calibration_error_is_the_gap_between_sure_and_right() -> None:
    assert calibration_error([(0.7, True)] * 7 + [(0.7, False)] * 3) == pytest.approx(0.0)
    assert calibration_error([(1.0, False), (0.0, True)]) == pytest.approx(1.0)
    assert calibration_error([(0.9, True), (0.3, False)]) == pytest.approx(0.2)
    assert math.isnan(calibration_error([]))
