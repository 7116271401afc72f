"""What `manifest.json` and `scaler.json` say, as frozen typed values.

These are checked at the border, so the rest of the code may rely on every field.
"""

import hashlib
import json
import math
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    model_validator,
)

from forecaster.calendar import Freq
from forecaster.cursor import OnGap
from forecaster.errors import InvalidRequestError
from forecaster.scores import LEVELS

FORMAT_VERSION = 1

# The quantiles a model gives unless its recipe names others: both ends of 80 and 95% intervals, and
# enough between to draw the curve.
QUANTILES = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.975)

# What a series' season may be: the values of more than one are kept.
LONGEST_SEASON = 168
LONGEST_INNER_SEASON = LONGEST_SEASON // 2
SeasonLength = Annotated[int, Field(ge=0, le=LONGEST_SEASON)]
InnerSeasonLength = Annotated[int, Field(ge=0, le=LONGEST_INNER_SEASON)]

# No value may be larger: sums of a few still fit a float64.
LARGEST_VALUE = 1e300

# Covariates of a model, and words that one may be.
MOST_COVARIATES = 256
MOST_CATEGORIES = 64

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]

# Wide enough for anything that was trained, and small enough to reckon with: a size, a season or an
# offset beyond these is a mistake or an attack.
_MOST_LAYERS = 64
_MOST_QUANTILES = 999
_MOST_FILES = 1000
_LONGEST_TIME = 10**9  # steps
_LARGEST_DATA = 4 * LARGEST_VALUE  # a difference of the largest values, and some room
_FURTHEST_FEATURE = 1e6

Cycle = Literal["day", "week", "year"]
Word = Annotated[str, Field(min_length=1, max_length=64)]

Widening = Annotated[float, Field(ge=-2, le=2)]
Data = Annotated[float, Field(ge=-_LARGEST_DATA, le=_LARGEST_DATA)]
Feature = Annotated[float, Field(ge=-_FURTHEST_FEATURE, le=_FURTHEST_FEATURE)]


def _check_freq(text: str | None) -> str | None:
    if text is not None:
        try:
            Freq.parse(text)
        except InvalidRequestError as error:
            raise ValueError(str(error)) from error  # which Pydantic reports with the field
    return text


FreqText = Annotated[str | None, AfterValidator(_check_freq)]


class Spec(BaseModel):
    """A frozen value; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Policy(StrEnum):
    """Whether a series' state is carried from step to step, or zeroed before each."""

    CARRY = "carry"
    RESET_EACH_STEP = "reset_each_step"


class MinMaxScaler(Spec):
    """One linear map for all series, as scikit-learn's `MinMaxScaler` fits it to one column."""

    kind: Literal["minmax"] = "minmax"
    data_min: Data
    data_max: Data
    feature_min: Feature = -1.0
    feature_max: Feature = 1.0

    @model_validator(mode="after")
    def _check_order(self) -> "MinMaxScaler":
        if self.data_min > self.data_max or self.feature_min >= self.feature_max:
            raise ValueError("a minimum is above its maximum")
        return self


class RunningScaler(Spec):
    """Each series by the running root mean square of its own differences.

    Args:
        window: Observations after which older ones fade: the mean's gain is 1/n, and 1/window at
            the least.
    """

    kind: Literal["running"] = "running"
    window: int = Field(default=200, ge=1, le=_LONGEST_TIME)


class StreamingScaler(Spec):
    """Each series by statistics of its own that follow it; there is nothing to be fitted."""

    kind: Literal["streaming"] = "streaming"


Scaler = Annotated[MinMaxScaler | RunningScaler | StreamingScaler, Field(discriminator="kind")]


class PlainTransformSpec(Spec):
    """A difference, scaled.

    Args:
        difference: The lag of the difference taken: 1, a season's length, or 0 for none.
    """

    kind: Literal["plain"] = "plain"
    difference: int = Field(default=1, ge=0, le=100_000)


class Kind(StrEnum):
    """When a covariate is known."""

    PAST = "past"  # with the observation of its step
    FUTURE = "future"  # before it
    STATIC = "static"  # always: it belongs to the series


class Covariate(Spec):
    """Something else that is known of a step or of a series: a number, or one of some words.

    Args:
        name: As callers write it.
        kind: When it is known.
        categories: The words; none for a number.
        mean: Of a static number, over the series trained on.
        scale: The standard deviation of that.
    """

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
    kind: Kind
    categories: Annotated[tuple[Word, ...], Field(max_length=MOST_CATEGORIES)] = ()
    mean: Data = 0.0
    scale: Annotated[float, Field(gt=0, le=_LARGEST_DATA)] = 1.0

    @model_validator(mode="after")
    def _check_categories(self) -> "Covariate":
        if len(set(self.categories)) < len(self.categories):
            raise ValueError("categories: names a word twice")
        return self


def _check_names(covariates: "tuple[Covariate, ...]") -> "tuple[Covariate, ...]":
    if len({one.name for one in covariates}) < len(covariates):
        raise ValueError("names a covariate twice")
    return covariates


CovariateSpecs = Annotated[
    tuple[Covariate, ...], Field(max_length=MOST_COVARIATES), AfterValidator(_check_names)
]


class UniversalTransformSpec(Spec):
    """Regressions of each series' own, whose scale is that of their errors.

    Args:
        calendar: What the network is told of the time of the last observation: where in its day,
            its week or its year that lies.
        season: That of every series of which nothing else is said; by default its times tell it.
    """

    kind: Literal["universal"] = "universal"
    calendar: tuple[Cycle, ...] = ()
    season: tuple[SeasonLength, InnerSeasonLength] | None = None

    @model_validator(mode="after")
    def _check_calendar(self) -> "UniversalTransformSpec":
        if len(set(self.calendar)) < len(self.calendar):
            raise ValueError("calendar: names a cycle twice")
        return self


TransformSpec = Annotated[PlainTransformSpec | UniversalTransformSpec, Field(discriminator="kind")]


class NetworkSpec(Spec):
    """The sizes: `features` in, an LSTM layer for each entry of `units`, a dense head."""

    features: int = Field(ge=1, le=10_000)
    units: Annotated[
        tuple[Annotated[int, Field(ge=1, le=8192)], ...],
        Field(min_length=1, max_length=_MOST_LAYERS),
    ]
    outputs: int = Field(ge=1, le=1000)

    @property
    def state_size(self) -> int:
        """The width of `h`, and of `c`: the units of all layers side by side."""
        return sum(self.units)

    @property
    def weight_bytes(self) -> int:
        """The size of all weights together."""
        return 4 * sum(math.prod(shape) for shape in self.shapes().values())

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the name and shape of every weight, in Keras' layout."""
        shapes: dict[str, tuple[int, ...]] = {}
        inputs = self.features
        for number, units in enumerate(self.units):
            shapes[f"lstm_{number}/kernel"] = (inputs, 4 * units)
            shapes[f"lstm_{number}/recurrent_kernel"] = (units, 4 * units)
            shapes[f"lstm_{number}/bias"] = (4 * units,)
            inputs = units
        shapes["head/kernel"] = (inputs, self.outputs)
        shapes["head/bias"] = (self.outputs,)
        return shapes


class HeadSpec(Spec):
    """What the network's outputs mean.

    Args:
        kind: `mean`: one output, and quantiles at fixed distances from it. `quantiles`: a mean and
            one output per quantile.
        quantiles: The quantile levels, rising, with 0.5 among them.
        offsets: For `mean`: the distance of each quantile from the mean, in network units.
        calibrated: Whether quantiles are widened or narrowed by how each series has gone.
        widened: For quantiles fitted to series of a user's own: by how much the interval of each of
            `scores.LEVELS` is widened besides, as a logarithm, to hold on what was not learnt from.
    """

    kind: Literal["mean", "quantiles"]
    quantiles: Annotated[
        tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(max_length=_MOST_QUANTILES)
    ] = QUANTILES
    offsets: tuple[Feature, ...] = ()
    calibrated: bool = False
    widened: tuple[Widening, ...] | None = None

    @model_validator(mode="after")
    def _check_quantiles(self) -> "HeadSpec":
        if list(self.quantiles) != sorted(set(self.quantiles)) or 0.5 not in self.quantiles:
            raise ValueError("quantiles must rise and hold 0.5")
        if len(self.quantiles) < 3:
            raise ValueError("at least three quantiles are needed")
        if self.widened is not None and len(self.widened) != len(LEVELS):
            raise ValueError(f"widened takes {len(LEVELS)} numbers")
        expected = len(self.quantiles) if self.kind == "mean" else 0
        if len(self.offsets) != expected or list(self.offsets) != sorted(self.offsets):
            raise ValueError(f"head {self.kind!r} takes {expected} rising offsets")
        return self

    @property
    def outputs(self) -> int:
        """How many outputs the network must have."""
        return 1 if self.kind == "mean" else 1 + len(self.quantiles)


class ModelSpec(Spec):
    """All that fixes how a model steps, its weights aside."""

    network: NetworkSpec
    head: HeadSpec
    transform: TransformSpec
    scaler: Scaler
    policy: Policy = Policy.CARRY
    covariates: CovariateSpecs = ()

    @model_validator(mode="after")
    def _check_outputs(self) -> "ModelSpec":
        is_streaming = isinstance(self.scaler, StreamingScaler)
        if is_streaming != isinstance(self.transform, UniversalTransformSpec):
            raise ValueError(f"transform {self.transform.kind!r} with scaler {self.scaler.kind!r}")
        if self.network.outputs != self.head.outputs:
            raise ValueError(
                f"head {self.head.kind!r} needs {self.head.outputs} outputs, "
                f"the network has {self.network.outputs}"
            )
        return self

    def fingerprint(self, weights_sha256: str) -> str:
        """Return 16 hex digits that name this model: same digits, same forecasts."""
        text = json.dumps([self.model_dump(mode="json"), weights_sha256], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Manifest(Spec):
    """`manifest.json`: what a model folder holds and where it came from."""

    format: int = Field(ge=1)
    name: Name
    version: str
    task: Literal["forecast one step ahead"] = "forecast one step ahead"
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    network: NetworkSpec
    head: HeadSpec
    transform: TransformSpec
    policy: Policy
    covariates: CovariateSpecs = ()
    freq: FreqText = None
    on_gap: OnGap = OnGap.REJECT
    season: int = Field(default=1, ge=1, le=_LONGEST_TIME)
    context: int = Field(ge=1, le=_LONGEST_TIME)
    data: dict[str, JsonValue]
    libraries: dict[str, str]
    recipe: dict[str, JsonValue]
    scores: dict[str, JsonValue]
    files: Annotated[
        dict[
            Annotated[str, Field(max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")],
            Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")],
        ],
        Field(max_length=_MOST_FILES),
    ]
