"""A network that its user fitted with Keras, and its scaler, become a model folder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from forecaster.artifact import check_free
from forecaster.cursor import OnGap
from forecaster.errors import InvalidRequestError
from forecaster.model import build_forecaster
from forecaster.network import NumpyNetwork
from forecaster.spec import (
    QUANTILES,
    HeadSpec,
    MinMaxScaler,
    ModelSpec,
    Name,
    PlainTransformSpec,
    Policy,
)
from forecaster.transform import LIMIT, PlainTransform
from training.backtest import Walk, backtest, check_walk, default_test, usual_season
from training.data import Panel
from training.errors import DataError
from training.export import compare, export, offsets_of, step_through
from training.foreign import OwnNetwork, outputs_of
from training.streams import Batches, pack, restart_every_window, samples

# Steps that the user's own network walks, beside those that are served.
_PARITY_STEPS = 64


@dataclass(frozen=True)
class Imported:
    """A model folder that was made.

    Args:
        folder: Where.
        policy: How the network is stepped.
        walk: What it forecast of the end of the data.
        parity: How far the networks that are served are from the user's own, at most.
    """

    folder: Path
    policy: Policy
    walk: Walk
    parity: float


def import_model(
    network: OwnNetwork,
    scaler: MinMaxScaler,
    panel: Panel,
    folder: Path,
    *,
    difference: int = 0,
    test: int | None = None,
    season: int | None = None,
    on_gap: OnGap = OnGap.SKIP,
    file: str,
    replace: bool = False,
) -> Imported:
    """Check a network against its copies, take its residuals, walk it, and write the model folder.

    Args:
        network: As `read_network` gives it.
        scaler: As `read_scaler` gives it.
        panel: Series to take residuals of and to walk.
        folder: Where; its last part is the model's name.
        difference: The lag of the difference that was taken before scaling; 0 for none.
        test: Observations of each series to walk; a tenth by default.
        season: Season of the seasonal naive forecast and of MASE; the usual one by default.
        on_gap: What became of steps left out in the panel.
        file: The name of the file that the panel is from.
        replace: Whether a model of that name may be replaced.

    Raises:
        ArtifactError: If the folder exists and may not be replaced.
        InvalidRequestError: If its name is none for a model.
        DataError: If the panel is too short.
        ParityError: If a network that is served is not the user's own.
    """
    _check_name(folder.name)
    check_free(folder, replace=replace)
    history, held_back = panel.split(test or default_test(panel))
    transform_spec = PlainTransformSpec(difference=difference)
    transform = PlainTransform(transform_spec, scaler)
    check_walk(history, held_back, transform.context)
    streams = samples(transform, [series.y for series in history.series])
    _check_scale(panel, transform, file)
    if not any(stream.weights.any() for stream in streams):
        raise DataError(
            f"expected more than {transform.context} observations before the last "
            f"{len(held_back.series[0])}, to take residuals of",
            path=file,
        )
    batches = pack(streams, batch=len(streams), window=1)
    if network.policy is Policy.RESET_EACH_STEP:
        batches = restart_every_window(batches)
    outputs = step_through(
        NumpyNetwork(network.spec, network.weights), batches, network.spec.state_size
    )
    offsets = offsets_of(outputs, batches, QUANTILES)
    spec = ModelSpec(
        network=network.spec,
        head=HeadSpec(kind="mean", quantiles=QUANTILES, offsets=offsets),
        transform=transform_spec,
        scaler=scaler,
        policy=network.policy,
    )
    first = _longest(batches)
    expected = outputs_of(network, first.inputs[:, 0])[:, None]
    parity = compare(expected, first, spec, network.weights)
    season = season or usual_season(None, panel)
    walk = backtest(build_forecaster(spec, network.weights), history, held_back, season=season)
    values = history.series[0].y
    export(
        folder,
        spec=spec,
        weights=network.weights,
        golden=values[~np.isnan(values)],
        history=history,
        season=season,
        on_gap=on_gap if panel.gaps else OnGap.REJECT,
        data={
            "file": file,
            "sha256": panel.fingerprint,
            "series": len(panel),
            "observations": panel.observations,
            "test": len(held_back.series[0]),
        },
        recipe={"imported": network.file, "difference": difference},
        scores={**walk.summary()},
        report={},
        replace=replace,
    )
    return Imported(folder, network.policy, walk, max(parity.values()))


def _check_name(name: str) -> None:
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        told = error.errors(include_url=False)[0]["msg"]
        raise InvalidRequestError(f"name: {told}, found {name!r}") from error


def _check_scale(panel: Panel, transform: PlainTransform, file: str) -> None:
    """Refuse what would be cut off before the network sees it, and so not be forecast by it."""
    for series, stream in zip(
        panel.series, samples(transform, [one.y for one in panel.series]), strict=True
    ):
        largest = float(np.abs(stream.inputs).max(initial=0))
        if largest >= LIMIT:
            raise DataError(
                f"series {series.unique_id!r} reaches {LIMIT:g} or more once scaled, where it is "
                "cut off before the network sees it; is it on the scale that the scaler was fitted "
                "to, and --difference what was taken before?",
                path=file,
            )


def _longest(batches: Batches) -> Batches:
    """Return the first steps of the longest stream, which is in the first row."""
    return Batches(
        inputs=batches.inputs[:_PARITY_STEPS, :1],
        starts=batches.starts[:_PARITY_STEPS, :1],
        targets=batches.targets[:_PARITY_STEPS, :1],
        weights=batches.weights[:_PARITY_STEPS, :1],
    )
