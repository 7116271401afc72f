"""The commands of docs/faq.md work, one after the other, with a network that Keras fits."""

from pathlib import Path

import pytest

from tests.pages import Reader


@pytest.mark.slow
def test_every_question_is_answered_by_a_command_that_works(tmp_path: Path) -> None:
    with Reader(tmp_path) as reader:
        counts = reader.follow("docs/faq.md")

    assert counts == {"python": 1, "sh": 13, "json": 10}
