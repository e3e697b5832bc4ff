"""What every twin must keep: slopes that are right, and no NaN wherever a design may go."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.virtual.twins import Twin
from estimation import PoissonNoise

STEP = 1e-5  # of a parameter's range: the central difference is good to its square


def objects_for(twin: Twin, brightness: float, count: int = 2):
    draws = np.random.default_rng(5).random((count, *twin.object_shape))
    return jnp.asarray(brightness * draws)


@eqx.filter_jit
def weighed_and_slopes(twin: Twin, values, objects, weights):
    """A number in which every measured value counts differently, and its slopes."""
    return jax.value_and_grad(lambda v: jnp.sum(weights * twin.with_values(v)(objects)))(values)


def test_the_gradient_is_the_slope_of_every_parameter(twin_case):
    twin = twin_case.make()
    objects = objects_for(twin, twin_case.brightness)
    rng = np.random.default_rng(6)
    weights = jnp.asarray(rng.standard_normal(jax.eval_shape(twin, objects).shape))
    values = twin.values()
    gradient = weighed_and_slopes(twin, values, objects, weights)[1]
    for name, parameter in twin.parameters.items():
        for _ in range(2):
            direction = rng.standard_normal(values[name].shape)
            step = STEP * (parameter.high - parameter.low)
            ends = [
                weighed_and_slopes(
                    twin, {**values, name: values[name] + sign * step * direction}, objects, weights
                )[0]
                for sign in (1, -1)
            ]
            slope = float(ends[0] - ends[1]) / (2 * step)
            assert abs(slope) > 0, f"{name} does nothing"
            assert float(jnp.vdot(gradient[name], direction)) == pytest.approx(slope, rel=1e-3)


@eqx.filter_jit
def entropy_and_slopes(twin: Twin, objects):
    """Noise entropy of all values and its slopes, the whole way that IDEAL takes."""

    def entropy(values):
        expected = twin.with_values(values)(objects)
        return PoissonNoise().entropy_at(expected).sum(), expected

    (bits, expected), slopes = jax.value_and_grad(entropy, has_aux=True)(twin.values())
    return bits, expected, slopes


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_nothing_is_nan_at_any_bound_or_without_light(one_case_a_twin, data):
    twin = one_case_a_twin.make()
    edge = st.sampled_from([0.0, 1.0, 0.5]) | st.floats(0.0, 1.0)
    values = {}
    for name, parameter in twin.parameters.items():
        share = data.draw(edge, label=name)
        values[name] = np.full(
            twin.values()[name].shape, parameter.low + share * (parameter.high - parameter.low)
        )
    brightness = data.draw(st.sampled_from([0.0, 1.0, 100.0]), label="brightness")
    objects = objects_for(twin, brightness * one_case_a_twin.brightness)
    with jax.enable_x64(True):  # hypothesis runs examples within one fixture
        bits, expected, slopes = entropy_and_slopes(twin.with_values(values), objects)
        assert jnp.isfinite(expected).all()
        assert jnp.isfinite(bits)
        assert all(jnp.isfinite(slope).all() for slope in slopes.values())
        assert expected.min() >= 0 or not one_case_a_twin.gives_photons


def test_measurements_have_four_axes(twin_case):
    twin = twin_case.make()
    assert jax.eval_shape(twin, objects_for(twin, 1.0, count=3)).shape[0] == 3
    assert len(jax.eval_shape(twin, objects_for(twin, 1.0)).shape) == 4


def test_what_is_projected_is_within_bounds_and_stays(twin_case):
    twin = twin_case.make()
    rng = np.random.default_rng(7)
    wild = twin.with_values({
        name: 3 * rng.standard_normal(value.shape) for name, value in twin.values().items()
    })
    once = wild.projected()
    again = once.projected().values()
    for name, parameter in twin.parameters.items():
        value = np.asarray(once.values()[name])
        assert value.min() >= parameter.low
        assert value.max() <= parameter.high
        np.testing.assert_allclose(again[name], value, atol=1e-9)


def test_hand_made_designs_can_be_built(twin_case):
    twin = twin_case.make()
    for name, design in twin.hand_made().items():
        made = twin.with_values(design)
        for parameter, value in made.projected().values().items():
            np.testing.assert_allclose(
                value, made.values()[parameter], atol=0.51, err_msg=f"{name}: {parameter}"
            )


def test_an_unknown_parameter_is_named(twin_case):
    with pytest.raises(ValueError, match="'magic' is no parameter; choose among"):
        twin_case.make().with_values({"magic": 1.0})


def test_a_wrong_shape_is_named(twin_case):
    twin = twin_case.make()
    name = next(iter(twin.parameters))
    with pytest.raises(ValueError, match=f"{name} has shape \\(17,\\)"):
        twin.with_values({name: np.zeros(17)})
