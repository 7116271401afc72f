"""Zero-shot skill: the universal model on data sets that it never saw, beside fitted peers.

    python -m benchmarks.skill [--model NAME] [--data FOLDER]

Walks one step ahead through the last observations of each set and writes the table into
docs/universal.md. Sets, tests, seasons and measures are those of the peers, which were fitted to
each set, and whose figures are quoted; `None` where a peer was not measured.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecaster import artifact, scores
from forecaster.forecaster import Forecaster
from forecaster.head import interval_levels
from forecaster.journal import NO_SEASON, Season
from forecaster.universal import BASE

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
PAGE = ROOT / "docs" / "universal.md"
BEGIN, END = "<!-- skill: begin -->", "<!-- skill: end -->"


@dataclass(frozen=True)
class DataSet:
    """A data set, how it is walked, and what fitted peers have on it.

    Args:
        file: Its file.
        test: The last so many observations of each series are forecast.
        season: What the model is told.
        scale: The season of MASE.
        arima: RMSE of the better of AutoARIMA on values and on logarithms.
        ets: RMSE of AutoETS.
        ridge: RMSE of a ridge regression on lags.
        every: The peers' figures are of every so many series.
    """

    file: str
    test: int
    season: Season
    scale: int
    arima: float
    ets: float
    ridge: float
    every: int = 1

    @property
    def name(self) -> str:
        """The name of its file, without the ending."""
        return self.file.split(".")[0]


SETS = (
    DataSet("shampoo.csv", 12, (12, 0), 12, 90.553, 112.1, 122.47),
    DataSet("airline.csv", 24, (12, 0), 12, 15.367, 25.868, 17.616),
    DataSet("min_temperatures.csv", 365, NO_SEASON, 365, 2.3205, 2.4903, 2.261),
    DataSet("sunspots.csv", 240, (12, 0), 12, 16.9, 17.303, 16.548),
    DataSet("pollution.csv", 720, (24, 0), 24, 25.307, 26.909, 25.03),
    DataSet("m4_hourly.csv.gz", 48, (168, 24), 24, 107.06, 326.75, 93.471, every=4),
)


@dataclass(frozen=True)
class Result:
    """How a data set was forecast; means over series."""

    rmse: float
    base: float
    persistence: float
    mase: float
    coverage: tuple[float, float]
    rmse_of_some: float


def walk(forecaster: Forecaster, y: Floats, season: Season, test: int) -> tuple[Floats, Floats]:
    """Return the forecasts of the last values of `y (K, T)`: `(K, test, 1 + quantiles)`.

    And the base that each corrected, `(K, test)`.
    """
    records = forecaster.new(len(y))
    records["season"] = season
    forecasts, bases = [], []
    for t in range(y.shape[1]):
        if t >= y.shape[1] - test:
            forecasts.append(records["forecast"].copy())
            bases.append(records["ahead"][:, BASE].copy())
        forecaster.observe_in_place(records, y[:, t])
    return np.stack(forecasts, axis=1), np.stack(bases, axis=1)


def panels(data: DataSet, folder: Path) -> Iterator[tuple[Indices, Floats, NDArray[np.bool_]]]:
    """Read a data set and yield its series of each length: their rows, values, what is scored.

    Shapes `(K,)`, `(K, T)` and `(K, test)`.
    """
    frame = pd.read_csv(folder / data.file)
    groups = [group for _, group in frame.groupby("unique_id", sort=False)]
    lengths = np.array([len(group) for group in groups])
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        y = np.stack([groups[row]["y"].to_numpy(float) for row in rows])
        known = np.ones((len(rows), data.test), bool)
        if "y_missing" in frame:
            missing = np.stack([groups[row]["y_missing"].to_numpy() for row in rows])
            known = missing[:, -data.test :] == 0
        yield rows, y, known


def score(forecaster: Forecaster, levels: tuple[float, ...], data: DataSet, folder: Path) -> Result:
    """Walk one data set."""
    found: list[tuple[int, float, float, float, float]] = []
    inside: list[Floats] = []
    for rows, y, known in panels(data, folder):
        forecasts, bases = walk(forecaster, y, data.season, data.test)
        for at, row in enumerate(rows):
            which = known[at]
            actual, told = y[at, -data.test :][which], forecasts[at][which]
            history = y[at, : -data.test]
            found.append(
                (
                    row,
                    scores.rmse(actual, told[:, 0]),
                    scores.rmse(actual, bases[at][which]),
                    scores.rmse(actual, y[at, -data.test - 1 : -1][which]),
                    scores.mase(actual, told[:, 0], history=history, season=data.scale),
                )
            )
            inside.append(_inside(actual, told[:, 1:], levels))
    _, rmse, base, naive, mase = np.array(sorted(found)).T
    covered = np.concatenate(inside).mean(axis=0)
    return Result(
        rmse=float(rmse.mean()),
        base=float(base[:: data.every].mean()),
        persistence=float(naive.mean()),
        mase=float(np.nanmean(mase)),
        coverage=(float(covered[0]), float(covered[1])),
        rmse_of_some=float(rmse[:: data.every].mean()),
    )


def _inside(y: Floats, quantiles: Floats, levels: tuple[float, ...]) -> Floats:
    """Return which values each of `scores.LEVELS` covers, shape `(n, levels)`."""
    bounds = [interval_levels(level) for level in scores.LEVELS]
    columns = [
        (quantiles[:, levels.index(low)] <= y) & (y <= quantiles[:, levels.index(high)])
        for low, high in bounds
    ]
    return np.stack(columns, axis=1).astype(np.float64)


_COLUMNS = (
    "data set (test)",
    "universal, zero-shot",
    "its base alone",
    "AutoARIMA",
    "AutoETS",
    "ridge on lags",
    "persistence",
    "MASE",
    "80% covers",
    "95% covers",
)


def table(results: dict[DataSet, Result]) -> str:
    """Return the table of the page, in Markdown."""
    lines = [f"| {' | '.join(_COLUMNS)} |", f"|{len(_COLUMNS) * '---|'}"]
    for data, result in results.items():
        name = f"{data.name} ({data.test})"
        if data.every > 1:
            name += f", every {data.every}th series"
        cells = [
            name,
            f"**{result.rmse_of_some:.4g}**",
            *(f"{one:.4g}" for one in (result.base, data.arima, data.ets, data.ridge)),
            f"{result.persistence:.4g}" + (" (all series)" if data.every > 1 else ""),
            f"{result.mase:.3f}" + (" (all series)" if data.every > 1 else ""),
            *(f"{100.0 * one:.1f}%" for one in result.coverage),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    ratios = {}
    for peer in ("arima", "ets", "ridge"):
        logs = [np.log(r.rmse_of_some / getattr(data, peer)) for data, r in results.items()]
        ratios[peer] = np.exp(np.mean(logs))
    lines.append("")
    lines.append(
        "Geometric mean of the RMSE over that of the peer: "
        f"{ratios['arima']:.3f} of the better AutoARIMA, {ratios['ets']:.3f} of AutoETS, "
        f"{ratios['ridge']:.3f} of the ridge regression."
    )
    return "\n".join(lines)


def main() -> None:
    """Score a model and write the table into the page."""
    parser = argparse.ArgumentParser(description="Score the universal model, zero-shot.")
    parser.add_argument("--model", default="universal", help="the model's name")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of models")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--print", action="store_true", help="print, and leave the page as it is")
    chosen = parser.parse_args()
    model = artifact.load(chosen.models / chosen.model)
    results = {}
    for data in SETS:
        if not (chosen.data / data.file).exists():
            raise SystemExit(f"{chosen.data / data.file}: no such file; name the folder by --data")
        results[data] = score(model.forecaster, model.manifest.head.quantiles, data, chosen.data)
        print(f"{data.name}: {results[data]}", flush=True)
    found = table(results)
    print(found)
    if not chosen.print:
        write(found, BEGIN, END)


def write(found: str, begin: str, end: str, page: Path = PAGE) -> None:
    """Put a table into a page, between two marks."""
    before, rest = page.read_text(encoding="utf-8").split(begin)
    _, after = rest.split(end)
    page.write_text(f"{before}{begin}\n{found}\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
