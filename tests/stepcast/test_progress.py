"""What is drawn while a command works."""

import io

from rich.console import Console

from stepcast.progress import TrainingProgress
from training.progress import Epoch


def test_training_says_what_it_is_doing() -> None:
    """Reading, walking and writing were once silent."""
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=100)

    with TrainingProgress(terminal) as progress:
        progress.on_stage("Reading a.csv")
        progress.on_stage("Training")
        progress.on_epoch(Epoch(2, 3, 7, 9, {"loss": 0.5}))

    for shown in ("Reading a.csv", "Training: seed 2 of 3, loss 0.5000", "7/9"):
        assert shown in screen.getvalue()


def test_nothing_is_drawn_where_there_is_no_terminal() -> None:
    screen = io.StringIO()

    with TrainingProgress(Console(file=screen)) as progress:
        progress.on_stage("Reading a.csv")

    assert screen.getvalue() == ""
