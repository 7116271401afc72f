"""A page of generated series, for docs/universal.md: `python -m benchmarks.prior`."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.charts import IMAGES
from training.prior import SHARES, Kind, generate

PAGE = IMAGES / "universal-prior.png"
EACH = 5
LENGTH = 240
# Enough for five series of the rarest kind.
_COUNT = 4000


def examples() -> dict[Kind, list[NDArray[np.float64]]]:
    """Return the first few series of each kind, as a round of training has them."""
    batch = generate(np.random.default_rng(1), _COUNT, LENGTH)
    return {kind: list(batch.y[batch.kind == kind][:EACH]) for kind in Kind}


def main() -> None:
    """Draw them, a row for each kind."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(Kind), EACH, figsize=(12, 1.1 * len(Kind)))
    for row, (kind, series) in zip(axes, examples().items(), strict=True):
        name = kind.name.lower().replace("_", " ")
        row[0].set_ylabel(
            f"{name}\n{SHARES[kind][0]:.0%}", rotation=0, ha="right", va="center", fontsize=9
        )
        for axis, y in zip(row, series, strict=True):
            axis.plot(y, color="#1f6f8b", linewidth=0.7)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_color("#dddddd")
    figure.tight_layout(h_pad=0.3, w_pad=0.3)
    # No date or version inside, so the same series make the same file.
    figure.savefig(PAGE, dpi=80, metadata={"Software": None})


if __name__ == "__main__":
    main()
