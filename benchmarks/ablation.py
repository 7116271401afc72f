"""What each part of the universal model brings: `python -m benchmarks.ablation [--data FOLDER]`.

Walks the data sets of `benchmarks.skill` without one part after the other, trains nothing again,
and writes the table into docs/universal.md.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from benchmarks.skill import DATA, ROOT, SETS, DataSet, panels, write
from forecaster import artifact, scores, universal
from forecaster.forecaster import Forecaster
from forecaster.model import build_forecaster
from forecaster.regression import Bank
from forecaster.spec import ModelSpec, Policy, StreamingScaler

Floats = NDArray[np.float64]

UNIVERSAL = ROOT / "models" / "universal"
BEGIN, END = "<!-- ablation: begin -->", "<!-- ablation: end -->"

# Regressors of the base, and what they are.
PARTS = {
    "the last steps but one": range(1, 8),
    "the mean step of the season": [universal.STEP],
    "the mean step of the inner season": [universal.OTHER_STEP],
    "the values around a season before": range(universal.FIRST, universal.COUNT),
    "the distance from the mean": [universal.LEVEL],
    "the error of the smoothed level": [universal.LAGGING],
}
# A weight that is held so firmly stays where it begins.
_PINNED = 1e12


def rmse(forecaster: Forecaster, data: DataSet, folder: Path) -> Floats:
    """Return the RMSE of the mean and of what `universal.AHEAD` names; means over series."""
    found = []
    for rows, y, known in panels(data, folder):
        some = rows % data.every == 0
        y, known = y[some], known[some]
        records = forecaster.new(len(y))
        records["season"] = data.season
        told = np.empty((*known.shape, 1 + len(universal.AHEAD)))
        for t in range(y.shape[1]):
            at = t - (y.shape[1] - data.test)
            if at >= 0:
                told[:, at, 0] = records["forecast"][:, 0]
                told[:, at, 1:] = records["ahead"]
            forecaster.observe_in_place(records, y[:, t])
        for row, which in enumerate(known):
            actual = y[row, -data.test :][which]
            found.append([scores.rmse(actual, one) for one in told[row][which].T])
    mean: Floats = np.array(found).mean(axis=0)
    return mean


def without(columns: Sequence[int]) -> Bank:
    """Return the regressions with these regressors of no weight."""
    pinned = []
    for one in (universal.LONG, universal.SHORT):
        is_out = np.isin(one.columns, columns)
        pinned.append(
            replace(
                one,
                precision=np.where(is_out, np.float32(_PINNED), one.precision),
                start=np.where(is_out, np.float32(0.0), one.start),
            )
        )
    return Bank(pinned)


def main() -> None:
    """Walk with and without each part, and write the table into the page."""
    parser = argparse.ArgumentParser(description="Measure what each part brings.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    folder = parser.parse_args().data
    model = artifact.load(UNIVERSAL)
    says = model.manifest
    stateless = ModelSpec(
        network=says.network,
        head=says.head,
        transform=says.transform,
        scaler=StreamingScaler(),
        policy=Policy.RESET_EACH_STEP,
    )
    weights = safetensors.numpy.load((UNIVERSAL / artifact.WEIGHTS).read_bytes())
    forgetful = build_forecaster(stateless, weights)
    rows: dict[str, list[float]] = {}

    def measure(forecaster: Forecaster, names: dict[str, int]) -> None:
        found = [rmse(forecaster, data, folder) for data in SETS]
        for name, column in names.items():
            rows[name] = [one[column] for one in found]
            print(name, [f"{one:.4g}" for one in rows[name]], flush=True)

    ahead = {name: 1 + at for at, name in enumerate(universal.AHEAD)}
    measure(
        model.forecaster,
        {
            "all of it": 0,
            "its base alone": ahead["base"],
            "the long regression alone": ahead["long"],
            "the short regression alone": ahead["short"],
            "persistence": ahead["last"],
        },
    )
    measure(forgetful, {"all of it, but no state is carried": 0})
    for name, columns in PARTS.items():
        with mock.patch.object(universal, "BANK", without(columns)):
            measure(model.forecaster, {f"its base without {name}": ahead["base"]})
    write(table(rows), BEGIN, END)


def table(rows: dict[str, list[float]]) -> str:
    """Return the table of the page, in Markdown: RMSE, and its mean over that of all of it."""
    names = [data.name for data in SETS]
    lines = [f"| RMSE | {' | '.join(names)} | to all of it |", f"|{(len(names) + 2) * '---|'}"]
    whole = next(iter(rows.values()))
    for name, found in rows.items():
        ratio = float(np.exp(np.mean(np.log(np.divide(found, whole)))))
        cells = [f"{one:.4g}" for one in found]
        lines.append(f"| {name} | {' | '.join(cells)} | {ratio:.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
