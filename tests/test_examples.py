"""The examples run, and give the published results."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "way", ["fit_with_batch_1", "forecast_in_batches_of_9", "copy_weights_to_batch_1"]
)
def test_each_way_out_gets_the_ten_step_sequence_right_to_one_decimal(way: str) -> None:
    example = load("ten_steps")

    forecasts = getattr(example, way)()

    np.testing.assert_array_equal(forecasts.round(1), example.SEQUENCE[1:])


def test_the_textbook_walk_over_shampoo_sales_scores_as_published(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Published over ten repeats: mean 103.1, from 94.1 to 115.0; persistence 136.761."""
    model, persistence = load("shampoo_walk_forward").main()

    assert persistence == pytest.approx(136.761, abs=5e-4)
    assert 90 < model < 120
    assert capsys.readouterr().out.count("expected") == 12
