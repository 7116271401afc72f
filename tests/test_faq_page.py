"""The commands of docs/faq.md work, one after the other, with a network that Keras fits."""

from pathlib import Path

import pytest

from tests.pages import Reader


@pytest.mark.slow
def test_every_question_is_answered_by_a_command_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fit that the page says stops early once went on to its last epoch."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())

    with Reader(tmp_path) as reader:
        counts = reader.follow("docs/faq.md")

    assert counts == {"python": 1, "sh": 13, "json": 10}
    (told,) = (tmp_path / "runs").glob("*/*/metrics/val_loss")
    losses = [float(line.split()[1]) for line in told.read_text().splitlines()]
    assert len(losses) < 60
    assert losses.index(min(losses)) == len(losses) - 1 - 5
