"""Progress of long work, drawn on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from training.progress import Epoch


class TrainingProgress:
    """A line that says what is being done, with a bar that counts epochs.

    Args:
        console: Where it is drawn.
    """

    def __init__(self, console: Console) -> None:
        self._progress = _progress(console)
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> "TrainingProgress":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def on_stage(self, stage: str) -> None:
        """Show that a piece of work begins."""
        self._progress.reset(self._task, total=None, description=escape(stage))

    def on_epoch(self, epoch: "Epoch") -> None:
        """Show that an epoch has ended."""
        which = f"seed {epoch.run} of {epoch.runs}, " if epoch.runs > 1 else ""
        self.show(epoch.number, epoch.epochs, epoch.losses, which)

    def show(self, number: int, total: int, losses: dict[str, float], which: str = "") -> None:
        """Show that so many of all epochs, or rounds, have ended, and the losses."""
        shown = ", ".join(f"{name} {value:.4f}" for name, value in sorted(losses.items()))
        self._progress.update(
            self._task, total=total, completed=number, description=f"Training: {which}{shown}"
        )


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
