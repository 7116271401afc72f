"""Which policy a plain network is made with: state is carried where that forecasts better.

Both are tried as they would be trained and served: fitted from several seeds to all but the end of
the history, and walked over that end. The test is not looked at.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from forecaster.spec import Policy
from training import plain
from training.data import Panel
from training.errors import DataError
from training.plain import Plan
from training.progress import OnEpoch, OnStage
from training.recipe import Job
from training.report import Tried
from training.verdicts import Claim, Outcome, judge

Floats = NDArray[np.float64]

# Enough that five out of five are no chance (p = 0.008).
_SEEDS = 5
_FEWEST_JUDGED = 12
# Seeds tell what is chance in training. What is chance in the end of the history this has to cover.
_LEAST_GAIN = 0.01
_CLAIM = Claim("carrying state", Policy.CARRY.value, Policy.RESET_EACH_STEP.value)


def plan(
    job: Job, history: Panel, test: Panel, season: int, on_epoch: OnEpoch | None, tell: OnStage
) -> Plan:
    """Try both policies, and return the plan with the better one.

    Raises:
        DataError: If a series cannot be walked, or is too short to hold something back.
        DivergedError: If a fit ended in weights that are no numbers.
    """
    plans = {policy: plain.plan(_with(job, policy), history, test) for policy in Policy}
    shortest = min(map(len, history.series))
    steps = max(min(max(_FEWEST_JUDGED, shortest // 5), shortest // 3), 1)
    try:
        seen, judged = history.split(steps)
        trials = {
            policy: plain.plan(_with(job, policy, repeats=_SEEDS - 1), seen, judged)
            for policy in Policy
        }
    except DataError as error:
        raise DataError(
            f"policy auto: {steps} observations before the test would be held back to choose by; "
            f"name carry or reset_each_step instead: {error}"
        ) from error
    rmse = {}
    for policy, trial in trials.items():
        tell(f"Trying policy {policy}")
        runs = [
            trial.run(number, seen, judged, season, on_epoch, lambda stage: None)
            for number in range(_SEEDS)
        ]
        rmse[policy] = np.array([run.rmse for run in runs])
    chosen, why = choose(rmse)
    tried = tuple(
        Tried(
            name=f"policy {policy} (RMSE over {steps} steps, {_SEEDS} seeds)",
            loss=float(found.mean()),
            verdict=f"kept: {why}" if policy is chosen else "",
            runs=tuple(found.tolist()),
        )
        for policy, found in rmse.items()
    )
    return replace(plans[chosen], tried=tried)


def choose(rmse: Mapping[Policy, Floats]) -> tuple[Policy, str]:
    """Return the policy to keep, and why, from the RMSE of each seed.

    Carried state has to earn its place: it is chosen where a test over the seeds finds that it
    helps, and where it gains a hundredth of the RMSE at least.
    """
    (verdict,) = judge({policy.value: found for policy, found in rmse.items()}, [_CLAIM])
    if verdict.outcome is not Outcome.HELPS:
        return Policy.RESET_EACH_STEP, verdict.sentence
    if verdict.mean > (1.0 - _LEAST_GAIN) * verdict.mean_without:
        return Policy.RESET_EACH_STEP, f"{verdict.sentence}, but by less than {_LEAST_GAIN:.0%}"
    return Policy.CARRY, verdict.sentence


def _with(job: Job, policy: Policy, **changes: object) -> Job:
    changes["policy"] = policy
    if policy is Policy.RESET_EACH_STEP:
        changes["window"] = None  # there is one that fits
    return job.model_copy(update={"recipe": job.recipe.model_copy(update=changes)})
