"""The textbook's walk-forward forecast of monthly shampoo sales, step by step.

A difference, a scale from -1 to 1, an LSTM of one unit fitted with batch 1 for 1000 epochs, its
state carried: reset after each epoch of training, and never in the test. Then twelve months are
forecast, each from the actual of the month before.

Run it with `python examples/shampoo_walk_forward.py`.
"""

from pathlib import Path

import numpy as np

from forecaster import scores
from forecaster.model import build_forecaster
from forecaster.spec import HeadSpec, MinMaxScaler, ModelSpec, NetworkSpec, PlainTransformSpec
from forecaster.transform import PlainTransform
from training.data import read_panel
from training.export import residual_offsets
from training.fit import fit
from training.network import get_weights
from training.recipe import SettledRecipe
from training.streams import pack, samples

TEST_MONTHS = 12
SEED = 1


def main() -> tuple[float, float]:
    """Print expected and forecast sales; return the RMSE of the network and of persistence."""
    history, test = read_panel(Path(__file__).parent / "shampoo.csv").split(TEST_MONTHS)
    sales, actuals = history.series[0].y, test.series[0].y

    changes = np.diff(sales)
    scaler = MinMaxScaler(data_min=changes.min(), data_max=changes.max())
    difference = PlainTransformSpec(difference=1)
    streams = samples(PlainTransform(difference, scaler), [sales])
    batches = pack(streams, batch=1, window=1)

    recipe = SettledRecipe(
        units=(1,), batch=1, window=1, epochs=1000, loss="mse", learning_rate=0.001, clip_norm=0
    )
    sizes = NetworkSpec(features=1, units=(1,), outputs=1)
    network, _ = fit(recipe, sizes, batches, seed=SEED)

    offsets = residual_offsets(network, batches, recipe.quantiles)
    head = HeadSpec(kind="mean", quantiles=recipe.quantiles, offsets=offsets)
    model = ModelSpec(network=sizes, head=head, transform=difference, scaler=scaler)
    forecaster = build_forecaster(model, get_weights(network))

    # The state is zero when the test begins: the last two months make the first input.
    records = forecaster.seed([sales[-2:]])
    forecasts = np.empty(TEST_MONTHS)
    for month, actual in enumerate(actuals):
        forecasts[month] = forecaster.forecast(records).mean[0, 0]
        records = forecaster.observe(records, np.array([actual]))
        print(f"month {month + 1:2}: expected {actual:.1f}, forecast {forecasts[month]:.1f}")

    naive = np.append(sales[-1], actuals[:-1])
    results = scores.rmse(actuals, forecasts), scores.rmse(actuals, naive)
    print(f"RMSE {results[0]:.3f}, persistence {results[1]:.3f}")
    return results


if __name__ == "__main__":
    main()
