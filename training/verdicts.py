"""What a comparison says about each claim: a test, how large the difference is, and a sentence.

The test is Mann and Whitney's, and the p values of all claims together are corrected as Holm does.
It is a test of ranks, for a few runs that fail badly weigh much on a mean; where the mean says the
opposite of what most runs say, the verdict is "mixed".
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

# Holm keeps the chance that any verdict of a comparison is one by chance below this.
SIGNIFICANT = 0.05
_CONFIDENCE = 0.95
_RESAMPLES = 2000


class Outcome(StrEnum):
    """What was found."""

    HELPS = "helps"
    HURTS = "hurts"
    MIXED = "mixed"
    NO_DIFFERENCE = "no difference"


@dataclass(frozen=True)
class Claim:
    """That doing something makes the RMSE smaller.

    Args:
        what: The doing, as a subject of a sentence.
        doing: The condition with it.
        without: The condition without it.
    """

    what: str
    doing: str
    without: str


CLAIMS = (
    Claim("carrying state", "stateful", "stateless"),
    Claim("keeping the order of samples", "stateless", "stateless_shuffled"),
    Claim("carrying state in larger batches", "stateful_batch", "stateless_batch"),
    Claim("resetting after each epoch", "noseed_1", "noseed_3"),
    Claim("resetting at each step of the test", "noseed_2", "noseed_1"),
    Claim("resetting at each step after seeding", "seed_2", "seed_1"),
    Claim("seeding", "seed_1", "noseed_1"),
    Claim("seeding without resets", "seed_3", "noseed_3"),
    # The noise floor: two trainings that differ in nothing but their random numbers.
    Claim("training the same again", "stateful_again", "stateful"),
)


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95% bootstrap interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """What was found about a claim.

    Attributes:
        claim: The claim.
        mean: Mean RMSE with the doing.
        mean_without: Mean RMSE without.
        p: Of the test.
        p_holm: The same, corrected for the number of claims.
        difference: Of the means, in units of the data: below zero where the doing helps.
        chance: That a run with the doing has a smaller error than a run without: 0.5 where there is
            no difference.
    """

    claim: Claim
    mean: float
    mean_without: float
    p: float
    p_holm: float
    difference: Interval
    chance: Interval

    @property
    def outcome(self) -> Outcome:
        """What was found, in a word or two."""
        if not self.p_holm < SIGNIFICANT:
            return Outcome.NO_DIFFERENCE
        most_gain, mean_gains = self.chance.estimate > 0.5, self.difference.estimate < 0
        if most_gain != mean_gains:
            return Outcome.MIXED
        return Outcome.HELPS if most_gain else Outcome.HURTS

    @property
    def sentence(self) -> str:
        """What was found, in a sentence."""
        against = f"{shown(self.mean)} against {shown(self.mean_without)}"
        p, what = shown_p(self.p_holm), self.claim.what
        if self.outcome is Outcome.NO_DIFFERENCE:
            return f"{what}: no difference found: {against}, {p}"
        if self.outcome is Outcome.MIXED:
            side = "better" if self.chance.estimate > 0.5 else "worse"
            other = "worse" if self.chance.estimate > 0.5 else "better"
            return f"{what}: mixed: most runs are {side} ({p}), the mean is {other}: {against}"
        return f"{what} {self.outcome}: {against}, {p}"


def judge(rmse: Mapping[str, Floats], claims: Sequence[Claim] = CLAIMS) -> list[Verdict]:
    """Return a verdict on each claim that both conditions of were run.

    Args:
        rmse: Of every run, by condition.
        claims: What to judge. The correction is for all those that can be.
    """
    known = [claim for claim in claims if claim.doing in rmse and claim.without in rmse]
    pairs = [(rmse[claim.doing], rmse[claim.without]) for claim in known]
    p = [float(stats.mannwhitneyu(*pair).pvalue) for pair in pairs]
    return [
        Verdict(
            claim=claim,
            mean=float(pair[0].mean()),
            mean_without=float(pair[1].mean()),
            p=value,
            p_holm=corrected,
            difference=_interval(_difference, pair),
            chance=_interval(_chance, pair),
        )
        for claim, pair, value, corrected in zip(known, pairs, p, holm(p), strict=True)
    ]


def holm(p: Sequence[float]) -> list[float]:
    """Return p values corrected by Holm's step-down procedure, in the order given."""
    values = np.array(p, np.float64)
    order = np.argsort(values, kind="stable")
    stepped = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return [float(value) for value in corrected]


def shown(value: float) -> str:
    """Return a number with four digits at least, and up to eight before the point."""
    if abs(value) >= 1e8:
        return f"{value:.3e}"
    decimals = 3 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{max(decimals, 0)}f}"


def shown_p(p: float) -> str:
    """Return a p value as a sentence has it."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def _difference(doing: Floats, without: Floats, axis: int = -1) -> Any:
    return doing.mean(axis=axis) - without.mean(axis=axis)


def _chance(doing: Floats, without: Floats, axis: int = -1) -> Any:
    """Return Mann and Whitney's U of the smaller errors, as a share of all pairs."""
    count, other = doing.shape[axis], without.shape[axis]
    ranks = stats.rankdata(np.concatenate([doing, without], axis=axis), axis=axis)
    of_doing = np.take(ranks, np.arange(count), axis=axis).sum(axis=axis)
    return 1.0 - (of_doing - count * (count + 1) / 2) / (count * other)


def _interval(statistic: Callable[..., Any], pair: tuple[Floats, Floats]) -> Interval:
    result = stats.bootstrap(
        pair,
        statistic,
        vectorized=True,
        n_resamples=_RESAMPLES,
        confidence_level=_CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),  # the same runs give the same interval
    )
    low, high = result.confidence_interval
    return Interval(float(statistic(*pair)), float(low), float(high))
