import pytest
from pydantic import ValidationError

from forecaster.spec import (
    HeadSpec,
    MinMaxScaler,
    ModelSpec,
    NetworkSpec,
    PlainTransformSpec,
    Policy,
)
from tests.forecaster.fakes import MINMAX, head_spec

NETWORK = NetworkSpec(features=2, units=(3, 4), outputs=12)


def model_spec(policy: Policy = Policy.CARRY) -> ModelSpec:
    return ModelSpec(
        network=NETWORK,
        head=head_spec("quantiles"),
        transform=PlainTransformSpec(),
        scaler=MINMAX,
        policy=policy,
    )


def test_shapes_are_those_of_keras() -> None:
    assert NETWORK.shapes() == {
        "lstm_0/kernel": (2, 12),
        "lstm_0/recurrent_kernel": (3, 12),
        "lstm_0/bias": (12,),
        "lstm_1/kernel": (3, 16),
        "lstm_1/recurrent_kernel": (4, 16),
        "lstm_1/bias": (16,),
        "head/kernel": (4, 12),
        "head/bias": (12,),
    }
    assert NETWORK.state_size == 7


def test_a_head_needs_an_output_for_its_mean_and_for_each_quantile_it_learns() -> None:
    assert head_spec("mean").outputs == 1
    assert head_spec("quantiles").outputs == 12


@pytest.mark.parametrize("quantiles", [(0.9, 0.5, 0.1), (0.1, 0.5, 0.5), (0.1, 0.4, 0.9)])
def test_quantiles_that_do_not_rise_or_lack_the_median_are_refused(
    quantiles: tuple[float, ...],
) -> None:
    with pytest.raises(ValidationError, match=r"quantiles must rise and hold 0\.5"):
        HeadSpec(kind="quantiles", quantiles=quantiles)


def test_fewer_than_three_quantiles_are_refused() -> None:
    with pytest.raises(ValidationError, match="at least three quantiles are needed"):
        HeadSpec(kind="quantiles", quantiles=(0.5, 0.9))


@pytest.mark.parametrize("offsets", [(), (0.0, 1.0), (1.0, 0.0, 2.0)])
def test_a_mean_head_takes_a_rising_offset_for_each_quantile(offsets: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError, match="head 'mean' takes 3 rising offsets"):
        HeadSpec(kind="mean", quantiles=(0.1, 0.5, 0.9), offsets=offsets)


@pytest.mark.parametrize(("data", "feature"), [((2.0, 1.0), (-1.0, 1.0)), ((1.0, 2.0), (1.0, 1.0))])
def test_a_scaler_whose_ends_are_swapped_is_refused(
    data: tuple[float, float], feature: tuple[float, float]
) -> None:
    with pytest.raises(ValidationError, match="a minimum is above its maximum"):
        MinMaxScaler(
            data_min=data[0], data_max=data[1], feature_min=feature[0], feature_max=feature[1]
        )


def test_a_fingerprint_names_the_way_to_step_and_the_weights() -> None:
    one = model_spec().fingerprint("0" * 64)

    assert one == model_spec().fingerprint("0" * 64)
    assert one != model_spec().fingerprint("1" * 64)
    assert one != model_spec(Policy.RESET_EACH_STEP).fingerprint("0" * 64)


def test_a_spec_is_frozen() -> None:
    spec = model_spec()

    with pytest.raises(ValidationError, match="Instance is frozen"):
        spec.policy = Policy.RESET_EACH_STEP
