"""Samples taken in turn, their spread, and ratios of samples of the same round.

A machine has moods: it throttles, or somebody else works on it. So whatever is compared is measured
in turn, A, B, A, B, and a ratio is the median of the ratios within each round.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median, quantiles
from time import perf_counter

Samples = list[float]

MILLISECONDS = 1e3
MICROSECONDS = 1e6


@dataclass(frozen=True)
class Spread:
    """The median of some samples, and their lower and upper quartile."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        group: What it belongs to: `http`, `step`, and so on.
        name: What was measured.
        unit: Of the value.
        value: Over all rounds.
        ratios: The value over that of each reference, by the reference's name.
        facts: Other numbers that were taken, each name with its unit.
    """

    group: str
    name: str
    unit: str
    value: Spread
    ratios: dict[str, Spread] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Note:
    """Why something was not measured."""

    group: str
    text: str


Lines = list[Row | Note]


def spread(samples: Samples) -> Spread:
    """Return median and quartiles."""
    if len(samples) == 1:
        return Spread(samples[0], samples[0], samples[0])
    low, middle, high = quantiles(samples, n=4, method="inclusive")
    return Spread(middle, low, high)


def row(
    group: str,
    name: str,
    unit: str,
    samples: Samples,
    *,
    against: Mapping[str, Samples] | None = None,
    facts: Mapping[str, float] | None = None,
) -> Row:
    """Return a row; `against` holds the samples of each reference, of the same rounds."""
    ratios = {
        reference: spread([one / other for one, other in zip(samples, others, strict=True)])
        for reference, others in (against or {}).items()
    }
    return Row(group, name, unit, spread(samples), ratios, dict(facts or {}))


def interleave(contestants: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Samples]:
    """Return a sample of each contestant for each round, taken in turn."""
    samples: dict[str, Samples] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, sample in contestants.items():
            samples[name].append(sample())
    return samples


def timed(call: Callable[[], object], *, seconds: float = 0.02) -> Callable[[], float]:
    """Return a sampler: the microseconds of one call, over as many as fill `seconds`."""
    call()
    start = perf_counter()
    call()
    count = max(1, round(seconds / (perf_counter() - start)))

    def sample() -> float:
        start = perf_counter()
        for _ in range(count):
            call()
        return (perf_counter() - start) / count * MICROSECONDS

    return sample


def middle(samples: Samples) -> float:
    """Return the median alone."""
    return median(samples)
