"""Verdicts say what is there, and nothing where nothing is."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.verdicts import CLAIMS, Claim, Outcome, Verdict, holm, judge, shown, shown_p

Floats = NDArray[np.float64]

CLAIM = Claim("resting", "rested", "tired")
P_VALUES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20)


def runs(mean: float, count: int = 40, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).normal(mean, 1.0, count)


def verdict(rested: Floats, tired: Floats) -> Verdict:
    return judge({"rested": rested, "tired": tired}, [CLAIM])[0]


# Holm's correction


def test_holm_gives_the_values_worked_out_by_hand() -> None:
    """0.005 times 4, 0.01 times 3, 0.03 times 2, and 0.04, which may not be below that."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(P_VALUES)
def test_a_corrected_p_is_no_smaller_and_in_the_same_order(p: list[float]) -> None:
    corrected = np.array(holm(p))

    assert (corrected >= p).all()
    assert (corrected <= 1.0).all()
    assert (np.diff(corrected[np.argsort(p, kind="stable")]) >= 0).all()


@given(st.floats(0.0, 1.0))
def test_one_claim_alone_needs_no_correction(p: float) -> None:
    assert holm([p]) == [p]


# Verdicts


def test_smaller_errors_help() -> None:
    found = verdict(runs(98.0), runs(103.0, seed=2))

    assert found.outcome is Outcome.HELPS
    assert found.sentence == (
        f"resting helps: {found.mean:.2f} against {found.mean_without:.1f}, p < 0.001"
    )
    assert found.difference.low < -5.0 + 1.0
    assert found.difference.high < 0.0
    assert found.chance.low > 0.9


def test_larger_errors_hurt() -> None:
    found = verdict(runs(103.0), runs(98.0, seed=2))

    assert found.outcome is Outcome.HURTS
    assert found.sentence.startswith("resting hurts: 10")
    assert found.chance.high < 0.1


def test_runs_of_the_same_kind_are_no_difference() -> None:
    found = verdict(runs(100.0), runs(100.0, seed=2))

    assert found.outcome is Outcome.NO_DIFFERENCE
    assert "resting: no difference found: " in found.sentence
    assert found.difference.low < 0.0 < found.difference.high
    assert found.chance.low < 0.5 < found.chance.high


def test_runs_that_are_all_alike_are_no_difference() -> None:
    found = verdict(np.full(10, 3.0), np.full(10, 3.0))

    assert (found.outcome, found.p) == (Outcome.NO_DIFFERENCE, 1.0)
    assert (found.difference.estimate, found.chance.estimate) == (0.0, 0.5)


def test_where_a_few_failures_turn_the_mean_the_verdict_is_mixed() -> None:
    rested = np.concatenate([runs(98.0, 37), np.full(3, 300.0)])

    found = verdict(rested, runs(103.0, seed=2))

    assert found.outcome is Outcome.MIXED
    assert "most runs are better (p < 0.001), the mean is worse: 113" in found.sentence


def test_the_same_few_failures_of_the_other_side_are_mixed_the_other_way() -> None:
    tired = np.concatenate([runs(98.0, 37), np.full(3, 300.0)])

    found = verdict(runs(103.0, seed=2), tired)

    assert "most runs are worse (p < 0.001), the mean is better: 10" in found.sentence


@pytest.mark.parametrize(
    ("rested", "tired", "chance"),
    [([1.0, 2.0], [3.0, 4.0], 1.0), ([3.0, 4.0], [1.0, 2.0], 0.0), ([1.0, 3.0], [2.0, 3.0], 0.625)],
)
def test_the_chance_to_be_better_is_a_share_of_all_pairs(
    rested: list[float], tired: list[float], chance: float
) -> None:
    """A pair of equals counts half."""
    assert verdict(np.array(rested), np.array(tired)).chance.estimate == chance


def test_the_same_runs_give_the_same_intervals() -> None:
    rmse = {"rested": runs(98.0), "tired": runs(98.5, seed=2)}

    assert judge(rmse, [CLAIM]) == judge(rmse, [CLAIM])


def test_claims_are_corrected_for_each_other() -> None:
    rmse = {"rested": runs(99.0), "tired": runs(99.6, seed=2)}

    alone = judge(rmse, [CLAIM])[0]
    among = judge(rmse, [CLAIM] * 5)[0]

    assert alone.p == alone.p_holm == among.p
    assert among.p_holm == pytest.approx(5 * alone.p)


def test_a_claim_without_runs_has_no_verdict() -> None:
    some: dict[str, Any] = {"stateful": runs(100.0), "stateless": runs(100.0, seed=2)}

    assert [found.claim.what for found in judge(some)] == ["carrying state"]


def test_the_claims_that_the_textbooks_left_open_are_all_there() -> None:
    compared = {(claim.doing, claim.without) for claim in CLAIMS}

    assert compared >= {
        ("stateful", "stateless"),
        ("stateless", "stateless_shuffled"),
        ("stateful_batch", "stateless_batch"),
        ("noseed_1", "noseed_3"),
        ("seed_1", "noseed_1"),
        ("noseed_2", "noseed_1"),
        ("stateful_again", "stateful"),
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (103.0, "103.0"),
        (95.4462, "95.45"),
        (12345.6, "12,346"),
        (0.0123456, "0.01235"),
        (0.0, "0"),
        (66675831682.0, "6.668e+10"),
    ],
)
def test_numbers_are_shown_with_four_digits(value: float, text: str) -> None:
    assert shown(value) == text


def test_a_p_value_is_shown_down_to_a_thousandth() -> None:
    assert (shown_p(0.0123), shown_p(0.0009)) == ("p = 0.012", "p < 0.001")
