"""Charts of a full run, for `docs/performance.md`. Alone: `python -m benchmarks.charts`."""

import json
from pathlib import Path
from typing import Any

from benchmarks import batch, growth

RESULTS = Path(__file__).with_name("results.json")
IMAGES = Path(__file__).parent.parent / "docs" / "images"

_OURS, _OTHERS = "#1f6f8b", "#b5b9bd"
# The end of an axis, in times of the largest value: there is a figure beside each bar.
_ROOM, _ROOM_LOGARITHMIC = 1.25, 3.0


def draw(results: dict[str, Any], images: Path = IMAGES) -> list[Path]:
    """Draw what the results allow and return the files."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams |= {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9}
    images.mkdir(parents=True, exist_ok=True)
    rows: dict[str, dict[str, Any]] = {row["name"]: row for row in results["rows"]}
    drawn = []
    for name, figure in (("http", _http(rows)), ("batch", _batch(rows)), ("growth", _growth(rows))):
        if figure is not None:
            path = images / f"performance-{name}.png"
            # No date or version inside, so the same results make the same file.
            figure.savefig(path, dpi=150, bbox_inches="tight", metadata={"Software": None})
            drawn.append(path)
    return drawn


def _http(rows: dict[str, dict[str, Any]]) -> Any:
    """Requests per second of 8 callers, on a logarithmic scale."""
    ending = ", 8 callers"
    found = {name: row for name, row in rows.items() if name.endswith(ending)}
    if not found:
        return None
    names = [name.removesuffix(ending) for name in found]
    return _bars(names, list(found.values()), "requests a second, 8 callers (logarithmic)")


def _batch(rows: dict[str, dict[str, Any]]) -> Any:
    """Series-steps per second."""
    names = [name for name in (batch.OVER_HTTP, batch.OBSERVE, batch.STEP) if name in rows]
    if not names:
        return None
    each = [{"value": {"median": rows[name]["facts"]["per_second"]}} for name in names]
    title = f"series-steps a second, {batch.SERIES:,} series at once, one core"
    return _bars(names, each, title, logarithmic=False, ours=1)


def _bars(
    names: list[str],
    rows: list[dict[str, Any]],
    title: str,
    *,
    logarithmic: bool = True,
    ours: int | None = None,
) -> Any:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 0.5 + 0.35 * len(names)))
    values = [row["value"]["median"] for row in rows]
    is_ours = [
        name.startswith("stepcast") if ours is None else number < ours
        for number, name in enumerate(names)
    ]
    axes.barh(names, values, color=[_OURS if one else _OTHERS for one in is_ours])
    for number, value in enumerate(values):
        axes.annotate(
            f"{value:,.0f}", (value, number), (4, 0), textcoords="offset points", va="center"
        )
    if logarithmic:
        axes.set_xscale("log")
        axes.set_xlim(1, max(values) * _ROOM_LOGARITHMIC)
    else:
        axes.set_xlim(0, max(values) * _ROOM)
        axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.invert_yaxis()
    axes.set_title(title, loc="left")
    return figure


def _growth(rows: dict[str, dict[str, Any]]) -> Any:
    """Microseconds of one observation, by the series' length and by their number."""
    from matplotlib import pyplot

    lines = {}
    for what in (growth.LENGTH, growth.AMONG):
        name = f"observe, {what}: "
        found = [row for key, row in rows.items() if key.startswith(name)]
        if found:
            lines[what] = found
    if not lines:
        return None
    figure, axes = pyplot.subplots(figsize=(7, 3))
    for colour, (what, found) in zip((_OURS, "#d08c32"), lines.items(), strict=False):
        sizes = [row["facts"]["size"] for row in found]
        axes.plot(sizes, [row["value"]["median"] for row in found], "o-", color=colour, label=what)
        low = [row["value"]["low"] for row in found]
        high = [row["value"]["high"] for row in found]
        axes.fill_between(sizes, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.set_xscale("log")
    largest = max(row["value"]["median"] for found in lines.values() for row in found)
    axes.set_ylim(0, largest * _ROOM)  # from zero, so that flat looks flat only if it is
    axes.legend(frameon=False, loc="lower left")
    axes.set_title("microseconds of one observation", loc="left")
    return figure


if __name__ == "__main__":
    for path in draw(json.loads(RESULTS.read_text())):
        print(path.name)
