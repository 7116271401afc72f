"""What the service counts and times, as Prometheus reads it.

Whatever is counted is counted where it happens; here it is put into words. A scrape asks no store
for its series, so it costs the same with one as with a million. docs/operations.md says what each
metric means, docs/adr/0010-metrics.md why it is so.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

import numpy as np
import prometheus_client as prometheus
from numpy.typing import NDArray
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from app.gate import Traffic
from app.services import Services
from forecaster.scores import LEVELS, RunningScores

CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST

# Upper bounds of a histogram. A step takes some 200 microseconds, a seed may take seconds.
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

_MODEL = ("model",)
_LEVEL = ("model", "level")


class Answers:
    """How many answers took how long. The library's own histogram takes five times as long."""

    def __init__(self) -> None:
        self.counts = [0] * (len(_SECONDS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(_SECONDS, seconds)] += 1
        self.seconds += seconds


class Metrics(Collector):
    """All metrics of one application.

    Args:
        traffic: What goes on in it.
    """

    def __init__(self, traffic: Traffic) -> None:
        # For each counter there would be another, of when it began.
        prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._traffic = traffic
        self._services: Services | None = None
        self._registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=self._registry)
        self._answers: dict[tuple[str, str, int], Answers] = defaultdict(Answers)

    def watch(self, services: Services) -> None:
        """Tell of these services from now on."""
        self._services = services
        self._registry.register(self)
        if services.database is not None:
            self._registry.register(services.database.commit_seconds)
            self._registry.register(services.database.failed_commits)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer.

        Args:
            method: Of the request. There must be few of each of these three.
            route: The template of its path.
            status: Of the answer; 0 where there was none.
            seconds: How long it took.
        """
        self._answers[method, route, status].add(seconds)

    def text(self) -> bytes:
        """Return all metrics."""
        return prometheus.generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield what is known by the moment."""
        assert self._services is not None
        database = self._services.database
        yield GaugeMetricFamily(
            "stepcast_calls_in_flight", "Calls in flight, probes aside.", self._traffic.calls
        )
        yield GaugeMetricFamily(
            "stepcast_store_queue",
            "Changes that wait for the next commit.",
            0 if database is None else database.waiting,
        )
        yield _of_answers(self._answers)
        yield from _of_models(self._services)


class _Told(Collector):
    """Metrics that are known already."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        yield from self._metrics


def text_of_series(model: str, ids: Sequence[str], records: NDArray[np.void]) -> bytes:
    """Return metrics of single series; there are none of one that is not kept.

    Args:
        model: Whose they are.
        ids: Their names.
        records: Their records.
    """
    labels = ("model", "unique_id")
    step = GaugeMetricFamily("stepcast_series_step", "Observations taken.", labels=labels)
    error = GaugeMetricFamily(
        "stepcast_series_error",
        "The last actual minus the forecast that stood for it.",
        labels=labels,
    )
    mae = GaugeMetricFamily("stepcast_series_mae", "Mean absolute error.", labels=labels)
    skill = GaugeMetricFamily("stepcast_series_skill", "Against persistence.", labels=labels)
    coverage = GaugeMetricFamily(
        "stepcast_series_coverage",
        "Share of actuals inside an interval.",
        labels=(*labels, "level"),
    )
    for unique_id, record in zip(ids, records, strict=True):
        if not record["step"]:
            continue
        one, scores = (model, unique_id), RunningScores.of(record)
        step.add_metric(one, int(record["step"]))
        for family, value in (
            (error, None if np.isnan(record["error"]) else float(record["error"])),
            (mae, scores.mae),
            (skill, scores.skill),
        ):
            if value is not None:
                family.add_metric(one, value)
        for level, share in scores.coverage.items():
            coverage.add_metric((*one, level), share)
    registry = prometheus.CollectorRegistry()
    registry.register(_Told([step, error, mae, skill, coverage]))
    return prometheus.generate_latest(registry)


def _of_answers(answers: Mapping[tuple[str, str, int], Answers]) -> Metric:
    seconds = HistogramMetricFamily(
        "stepcast_request_seconds",
        "From the head of a request to the head of its answer; status none: the caller had gone.",
        labels=("method", "route", "status"),
    )
    bounds = [*map(str, _SECONDS), "+Inf"]
    for (method, route, status), found in answers.items():
        sums = list(zip(bounds, accumulate(found.counts), strict=True))
        seconds.add_metric((method, route, str(status or "none")), sums, found.seconds)
    return seconds


def _of_models(services: Services) -> list[Metric]:
    info = GaugeMetricFamily(
        "stepcast_model_info",
        "A model that is served; always 1.",
        labels=("model", "fingerprint", "version"),
    )
    series = GaugeMetricFamily("stepcast_series", "Series that are kept.", labels=_MODEL)
    waiting = GaugeMetricFamily(
        "stepcast_observations_waiting",
        "Observations of single calls that wait to be stepped together.",
        labels=_MODEL,
    )
    observations = CounterMetricFamily(
        "stepcast_observations",
        "Observations by what became of them: applied, duplicate, or why refused.",
        labels=("model", "outcome"),
    )
    scored = CounterMetricFamily(
        "stepcast_scored", "Observations that a forecast stood for.", labels=_MODEL
    )
    error = CounterMetricFamily(
        "stepcast_absolute_error", "Sum of absolute errors, in the units of series.", labels=_MODEL
    )
    scaled_error = CounterMetricFamily(
        "stepcast_scaled_error",
        "Sum of absolute errors, each over the mean absolute change of its series.",
        labels=_MODEL,
    )
    scaled_change = CounterMetricFamily(
        "stepcast_scaled_change",
        "The same sum, of the errors that persistence would have made.",
        labels=_MODEL,
    )
    inside = CounterMetricFamily(
        "stepcast_inside", "Actuals inside the interval of a level, in percent.", labels=_LEVEL
    )
    mae = GaugeMetricFamily("stepcast_mae", "Mean absolute error since the start.", labels=_MODEL)
    skill = GaugeMetricFamily(
        "stepcast_skill", "Skill against persistence since the start.", labels=_MODEL
    )
    coverage = GaugeMetricFamily(
        "stepcast_coverage", "Share of actuals inside an interval since the start.", labels=_LEVEL
    )
    for service in services:
        manifest, tally = service.model.manifest, service.intake.tally
        one = (manifest.name,)
        info.add_metric((*one, manifest.fingerprint, manifest.version), 1)
        series.add_metric(one, len(service.store))
        waiting.add_metric(one, service.waiting)
        for outcome, count in tally.outcomes.items():
            observations.add_metric((*one, outcome), count)
        scored.add_metric(one, tally.scored)
        error.add_metric(one, tally.error)
        scaled_error.add_metric(one, tally.scaled_error)
        scaled_change.add_metric(one, tally.scaled_change)
        mae.add_metric(one, tally.mae)
        skill.add_metric(one, tally.skill)
        for level, count, share in zip(LEVELS, tally.inside, tally.coverage, strict=True):
            inside.add_metric((*one, str(level)), count)
            coverage.add_metric((*one, str(level)), share)
    return [
        info,
        series,
        waiting,
        observations,
        scored,
        error,
        scaled_error,
        scaled_change,
        inside,
        mae,
        skill,
        coverage,
    ]
