"""What a page, a plot and a table say of a comparison."""

from dataclasses import replace

import numpy as np
import pytest

from training.compare import CONDITIONS, Comparison
from training.comparison import columns, draw, render, rows, tell
from training.settings import SettledSettings
from training.verdicts import judge

pytestmark = pytest.mark.slow  # loads TensorFlow


@pytest.fixture
def comparison() -> Comparison:
    rng = np.random.default_rng(1)
    return Comparison(
        name="a <b>",
        settings=SettledSettings(batch=7, epochs=3, test=5, repeats=20),
        observations=40,
        persistence=136.761,
        rmse={name: rng.normal(100.0, 1.0, 20) for name in CONDITIONS},
        is_whole=True,
    )


def page_of(comparison: Comparison) -> str:
    return render(comparison, judge(comparison.rmse))["index.html"].decode()


def test_the_page_holds_every_sentence_and_every_row(comparison: Comparison) -> None:
    page = page_of(comparison)

    for verdict in judge(comparison.rmse):
        assert verdict.sentence[1:] in page
    for row in rows(comparison):
        assert row[2] in page
    assert "stateful, batch 7" in page
    assert "136.8" in page
    assert "This run was stopped" not in page


def test_a_name_is_no_markup(comparison: Comparison) -> None:
    assert "a &lt;b&gt;" in page_of(comparison)


def test_a_run_that_was_stopped_says_so_and_shows_what_there_is(comparison: Comparison) -> None:
    first = {name: comparison.rmse[name] for name in ("stateful", "stateful_again", "stateless")}
    stopped = replace(comparison, rmse=first, is_whole=False)

    assert "This run was stopped" in page_of(stopped)
    assert [row[0] for row in rows(stopped)] == ["stateful (A)", "stateful again (A')", "stateless"]
    assert [claim.claim.what for claim in judge(first)] == [
        "carrying state",
        "training the same again",
    ]


def test_the_csv_has_every_run(comparison: Comparison) -> None:
    lines = render(comparison, [])["runs.csv"].decode().splitlines()[1:]

    runs = [line.split(",") for line in lines]
    for name, rmse in comparison.rmse.items():
        found = [float(value) for condition, _, value in runs if condition == name]
        assert found == rmse.tolist()


def test_a_box_is_drawn_for_each_condition_beside_persistence(comparison: Comparison) -> None:
    (axes,) = draw(comparison).axes

    assert [text.get_text() for text in axes.get_yticklabels()] == [
        comparison.label(name) for name in CONDITIONS
    ]
    (persistence,) = [line for line in axes.get_lines() if line.get_label() == "persistence"]
    assert np.asarray(persistence.get_xdata()).tolist() == [136.761] * 2


def test_what_is_told_as_json_is_what_was_found(comparison: Comparison) -> None:
    told = tell(comparison, judge(comparison.rmse))

    assert columns(comparison)[1:] == ["count", "mean", "std", "min", "25%", "50%", "75%", "max"]
    conditions = told["conditions"]
    assert isinstance(conditions, dict)
    assert list(conditions) == list(CONDITIONS)
    assert told["settings"] == comparison.settings.model_dump(mode="json")
