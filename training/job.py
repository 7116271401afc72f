"""The offline job: from a file of series to a model folder with its report."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from forecaster.artifact import check_free
from forecaster.calendar import Clock
from forecaster.cursor import OnGap
from forecaster.journal import NO_SEASON
from forecaster.scores import UNIVERSAL
from training import baseline, plain, policy, standing
from training.backtest import default_test, usual_season
from training.data import Gap, read_panel
from training.errors import DataError
from training.export import export
from training.peers import Peers, compare
from training.progress import OnEpoch, OnStage, telling
from training.recipe import Job
from training.report import Run, Tried, render
from training.tracking import check_tracking, track


@dataclass(frozen=True)
class Trained:
    """What a job made.

    Args:
        folder: The model folder.
        runs: One for each seed; the model kept is the first.
        scores: As the manifest has them.
        gaps: Where the file leaves steps out.
        tried: What there was to choose from, where there was a choice.
        unused: The columns of the file that nothing was read from.
    """

    folder: Path
    runs: tuple[Run, ...]
    scores: dict[str, JsonValue]
    gaps: tuple[Gap, ...]
    tried: tuple[Tried, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """How many observations of each series the walk took."""
        return self.runs[0].walk.steps


def train(
    job: Job,
    models: Path,
    *,
    replace: bool = False,
    peers: Peers | None = None,
    on_epoch: OnEpoch | None = None,
    on_stage: OnStage | None = None,
) -> Trained:
    """Read, split, fit, check parity, walk over the test part, and export.

    The test part is not looked at before a network is final, and nothing is chosen by it: the model
    kept is that of the recipe's seed, whatever further seeds score.

    Args:
        job: What to train on and how.
        models: The folder of model folders.
        replace: Whether a model of that name may be replaced.
        peers: Fitted peers to set beside the model, which may take long.
        on_epoch: Called after each epoch.
        on_stage: Called before each piece of work.

    Raises:
        DataError: If the file or the job has a fault.
        ArtifactError: If the model exists and may not be replaced.
        DivergedError: If the fit ended in weights that are no numbers.
        ParityError: If the exported network is not the trained one.
        TrackingError: If MLflow does not answer before anything is done, or the model is written,
            but MLflow does not take its run.
    """
    folder = models / job.name
    check_free(folder, replace=replace)
    check_tracking()
    universal = standing.find_universal(models)
    if universal is None and job.method != "plain":
        raise DataError(
            f"{models / standing.BUNDLED.name}: expected the universal model, which training "
            "begins with; copy it there from those that come with stepcast, or use --method plain"
        )
    tell = on_stage or (lambda stage: None)
    tell(f"Reading {job.file}")
    panel = read_panel(
        job.file,
        id_column=job.id_column,
        time_column=job.time_column,
        target_column=job.target_column,
        freq=job.freq,
        on_gap=job.on_gap,
        covariates=job.asked,
    )
    history, test = panel.split(job.test or default_test(panel), job.file)
    season = job.baseline_season or usual_season(None, panel)
    plan: plain.Plan | standing.Plan | baseline.Plan
    if universal is not None and job.method != "plain":
        plan = standing.plan(job, universal, history, test, on_epoch, tell)
        if job.method == "auto":
            better, tried = baseline.hold(plan, history, season)
            plan = better or dataclasses.replace(plan, tried=tried)
    elif job.recipe.policy == "auto":
        plan = policy.plan(job, history, test, season, on_epoch, tell)
    else:
        plan = plain.plan(job, history, test)
    runs = tuple(
        plan.run(number, history, test, season, on_epoch, tell)
        for number in range(plan.repeats + 1)
    )
    scores: dict[str, JsonValue] = {**runs[0].walk.summary(), "seeds": _spread(runs)}
    beside = None
    if universal is not None and plan.told != {"method": "universal"}:
        beside = standing.walk_as_it_is(universal, history, test, season, job.told_season)
    if beside is not None:
        scores[UNIVERSAL] = beside.summary()["model"]
    if peers is not None:
        scores["peers"] = compare(runs[0].walk, beside, peers, telling(tell, "Fitting peers"))
    tell("Writing model and report")
    if plan.tried:
        scores["tried"] = [one.summary() for one in plan.tried]
    first = history.series[0]
    known = ~np.isnan(first.y)
    export(
        folder,
        spec=runs[0].spec,
        weights=runs[0].weights,
        golden=first.y[known],
        golden_season=plan.seasons[0] if plan.seasons else NO_SEASON,
        golden_ds=first.ds[known] if history.clock is Clock.TIME else None,
        golden_x=first.x[known],
        history=history,
        seasons=plan.seasons,
        season=season,
        on_gap=job.on_gap if panel.gaps else OnGap.REJECT,
        data={
            "file": job.file.name,
            "sha256": panel.fingerprint,
            "series": len(panel),
            "observations": panel.observations,
            "test": len(test.series[0].y),
        },
        recipe=plan.told,
        scores=scores,
        report=render(job, runs, history, scores, plan.told, plan.tried),
        replace=replace,
    )
    track(folder, runs[0], recipe=plan.told, scores=scores)
    return Trained(folder, runs, scores, panel.gaps, plan.tried, panel.unused)


def _spread(runs: tuple[Run, ...]) -> dict[str, JsonValue]:
    """Return the test RMSE of every seed, with mean and sample standard deviation."""
    rmse = [run.rmse for run in runs]
    return {
        "seeds": [run.seed for run in runs],
        "rmse": list(rmse),
        "mean": float(np.mean(rmse)),
        "std": float(np.std(rmse, ddof=1)) if len(rmse) > 1 else None,
    }
