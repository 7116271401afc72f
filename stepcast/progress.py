"""Progress of long work, drawn on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from training.recipe import Recipe


class EpochProgress:
    """A bar that counts epochs and shows the loss.

    Args:
        console: Where it is drawn.
        recipe: Says how many epochs and seeds there are.
    """

    def __init__(self, console: Console, recipe: Recipe) -> None:
        self._recipe = recipe
        self._progress = _progress(console)
        self._task = self._progress.add_task("", total=recipe.epochs)
        self._number = -1

    def __enter__(self) -> "EpochProgress":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def on_epoch(self, number: int, epoch: int, losses: dict[str, float]) -> None:
        """Show that a run has finished an epoch; see `training.job.OnEpoch`."""
        if number != self._number:
            self._number = number
            self._progress.reset(self._task)
        seeds = self._recipe.repeats + 1
        which = f"seed {number + 1} of {seeds}, " if seeds > 1 else ""
        shown = ", ".join(f"{name} {value:.4f}" for name, value in sorted(losses.items()))
        self._progress.update(self._task, completed=epoch, description=f"Training: {which}{shown}")


@contextmanager
def step_progress(console: Console, text: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that is told the steps done and the steps there are."""
    with _progress(console) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,  # or an empty line is left there
    )
