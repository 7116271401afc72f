from pathlib import Path

import numpy as np
import pytest

from forecaster.spec import QUANTILES
from forecaster.universal import FEATURES
from training.errors import CheckpointError
from training.network import get_weights
from training.pretrain import network_spec, pretrain
from training.rounds import PretrainRecipe, make_round

pytestmark = pytest.mark.slow

SMALL = PretrainRecipe(units=4, rounds=4, series={20: 12, 40: 6}, batch=6, window=10)


def test_a_round_is_fixed_by_its_seed() -> None:
    one, same, other = (make_round(SMALL, [1, number]) for number in (5, 5, 6))

    assert np.array_equal(one.inputs, same.inputs)
    assert np.array_equal(one.targets, same.targets)
    assert not np.array_equal(one.inputs, other.inputs)


def test_a_round_is_what_the_network_takes() -> None:
    batches = make_round(SMALL, [1, 0])

    assert batches.inputs.shape[1:] == (6, 10, FEATURES)
    assert np.isfinite(batches.inputs).all()
    assert np.abs(batches.targets).max() <= 8.0
    assert network_spec(SMALL).outputs == 1 + len(QUANTILES)


def test_a_run_learns(tmp_path: Path) -> None:
    few = SMALL.model_copy(update={"rounds": 1, "warmup": 5})
    many = few.model_copy(update={"rounds": 20, "learning_rate": 0.01})
    told: list[int] = []

    _, losses = pretrain(
        many, tmp_path / "many.npz", on_round=lambda number, _: told.append(number)
    )

    assert told == list(range(1, 21))
    assert losses["val_loss"] < pretrain(few, tmp_path / "few.npz")[1]["val_loss"]


def test_a_run_that_was_cut_off_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    class CutOffError(Exception):
        pass

    def cut_off(number: int, losses: dict[str, float]) -> None:
        if number == 2:
            raise CutOffError

    whole, _ = pretrain(SMALL, tmp_path / "whole.npz")
    with pytest.raises(CutOffError):
        pretrain(SMALL, tmp_path / "cut.npz", on_round=cut_off)
    rounds: list[int] = []
    gone_on, _ = pretrain(
        SMALL, tmp_path / "cut.npz", on_round=lambda number, _: rounds.append(number)
    )

    assert rounds == [3, 4]
    for name, weight in get_weights(whole).items():
        np.testing.assert_allclose(get_weights(gone_on)[name], weight, atol=1e-6, err_msg=name)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    pretrain(SMALL.model_copy(update={"rounds": 1}), tmp_path / "c.npz")

    with pytest.raises(CheckpointError, match="another recipe"):
        pretrain(SMALL, tmp_path / "c.npz")


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.npz").write_bytes(b"nothing of the kind")

    with pytest.raises(CheckpointError, match=r"c\.npz"):
        pretrain(SMALL, tmp_path / "c.npz")
