"""The policy is chosen by what forecasts better, and carried state has to earn its place."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from forecaster import artifact
from forecaster.spec import Policy
from training.errors import DataError
from training.job import Trained, train
from training.policy import choose
from training.recipe import Job, Recipe

Floats = NDArray[np.float64]

LENGTH = 240
# A network that can count to 20, and learns to within seconds.
RECIPE = Recipe(
    policy="auto",
    difference=0,
    units=(8,),
    batch=4,
    window=20,
    epochs=60,
    learning_rate=0.02,
    loss="mse",
    validation=0,
)


def echo(rng: np.random.Generator) -> Floats:
    """Return a series of which each value is that of 20 steps before, with some noise.

    They are 1 or -1, so the last one tells nothing of the next.
    """
    pattern = np.tile(rng.choice([-1.0, 1.0], 20), LENGTH // 20)
    return np.asarray(pattern + rng.normal(0.0, 0.1, LENGTH))


def regression(rng: np.random.Generator) -> Floats:
    """Return a series of which each value depends on the last alone."""
    y = np.zeros(LENGTH)
    for t in range(1, LENGTH):
        y[t] = 0.7 * y[t - 1] + rng.normal()
    return y


def train_on(y: Floats, folder: Path) -> Trained:
    file = folder / "made.csv"
    file.write_text("y\n" + "\n".join(f"{value:.6f}" for value in y) + "\n")
    return train(Job(file=file, name="made", test=20, recipe=RECIPE), folder)


def rmse(carry: list[float], reset: list[float]) -> dict[Policy, Floats]:
    return {Policy.CARRY: np.array(carry), Policy.RESET_EACH_STEP: np.array(reset)}


@pytest.mark.slow
def test_state_is_carried_where_the_next_value_depends_on_one_of_20_steps_ago(
    tmp_path: Path,
) -> None:
    trained = train_on(echo(np.random.default_rng(1)), tmp_path)

    manifest = artifact.load(trained.folder).manifest
    assert manifest.policy is Policy.CARRY
    assert manifest.recipe["policy"] == "carry"
    carry, reset = trained.tried
    assert (carry.loss or 0.0) < 0.8 * (reset.loss or 0.0)


@pytest.mark.slow
def test_state_is_reset_where_the_next_value_depends_on_the_last_alone(tmp_path: Path) -> None:
    trained = train_on(regression(np.random.default_rng(1)), tmp_path)

    model = artifact.load(trained.folder)
    assert model.manifest.policy is Policy.RESET_EACH_STEP
    evidence: Any = model.manifest.scores["tried"]
    assert [one["name"].split(" (")[0] for one in evidence] == [
        "policy carry",
        "policy reset_each_step",
    ]
    for one in evidence:
        assert len(one["runs"]) == 5
        assert one["loss"] == pytest.approx(np.mean(one["runs"]))
    assert evidence[0]["verdict"] == ""
    assert evidence[1]["verdict"].startswith("kept: carrying state")
    assert "policy reset_each_step" in (trained.folder / "report/index.html").read_text()


def test_state_that_helps_every_seed_is_carried() -> None:
    policy, why = choose(rmse([0.5, 0.6, 0.55, 0.52, 0.58], [0.9, 0.95, 0.92, 0.97, 0.91]))

    assert policy is Policy.CARRY
    assert why == "carrying state helps: 0.5500 against 0.9300, p = 0.0079"


def test_state_that_does_no_better_is_not_carried() -> None:
    policy, why = choose(rmse([0.5, 0.9, 0.55, 0.8, 0.58], [0.6, 0.65, 0.62, 0.67, 0.95]))

    assert policy is Policy.RESET_EACH_STEP
    assert "no difference found" in why


def test_state_that_hurts_is_not_carried() -> None:
    policy, why = choose(rmse([0.9, 0.95, 0.92, 0.97, 0.91], [0.5, 0.6, 0.55, 0.52, 0.58]))

    assert policy is Policy.RESET_EACH_STEP
    assert why.startswith("carrying state hurts")


def test_state_that_helps_by_next_to_nothing_is_not_carried() -> None:
    """Every seed sees the same few values, and so much is their chance."""
    carry = [0.991, 0.992, 0.993, 0.994, 0.995]

    policy, why = choose(rmse(carry, [1.0, 1.001, 1.002, 1.003, 1.004]))

    assert policy is Policy.RESET_EACH_STEP
    assert why.endswith("but by less than 1%")


def test_what_is_too_short_to_choose_by_is_refused_with_a_way_out(tmp_path: Path) -> None:
    file = tmp_path / "short.csv"
    file.write_text("y\n1\n2\n3\n5\n8\n")
    job = Job(file=file, name="short", test=2, recipe=Recipe(policy="auto"))

    with pytest.raises(DataError, match=r"policy auto: 1 .* name carry or reset_each_step instead"):
        train(job, tmp_path)
