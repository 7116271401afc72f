"""What a long job tells of itself while it goes on."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """An epoch that has ended, or a round of tuning.

    Args:
        run: Which seed's, from 1.
        runs: How many seeds there are.
        number: Which epoch, from 1.
        epochs: How many there are at most.
        losses: Its losses.
    """

    run: int
    runs: int
    number: int
    epochs: int
    losses: dict[str, float]


OnEpoch = Callable[[Epoch], None]
# Called with what is being done, when it begins.
OnStage = Callable[[str], None]


def telling(tell: OnStage, stage: str) -> Callable[[int, int], None]:
    """Return what tells of a stage how much of it is done."""
    return lambda done, total: tell(f"{stage}: {done} of {total}")
