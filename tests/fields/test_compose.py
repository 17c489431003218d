"""Composition and integration: known answers, and the networks' own operations as judge."""

import numpy as np
import pytest
from scipy.linalg import expm

from acsgreg_tf import fields
from acsgreg_tf.ops import fields as tensor_fields
from tests.helpers import SMALL, noise, smooth_field

SHAPE = (20, 18, 16)
INNER = (slice(5, -5),) * 3


def linear_field(matrix, shape=SHAPE):
    """u(x) = L (x - c)."""
    centre = (np.array(shape) - 1) / 2
    return ((np.moveaxis(np.indices(shape), 0, -1) - centre) @ np.array(matrix).T).astype("float32")


def test_shifts_add_up_and_nothing_changes_nothing():
    shift = np.broadcast_to(np.float32([0.5, -1, 2]), (*SMALL, 3))
    np.testing.assert_allclose(fields.compose(shift, 2 * shift), 3 * shift, atol=1e-6)
    field, still = noise((*SMALL, 3)), np.zeros((*SMALL, 3), "float32")
    np.testing.assert_array_equal(fields.compose(field, still), field)
    np.testing.assert_array_equal(fields.compose(still, field), field)


def test_the_inner_field_is_applied_first():
    outer, inner = linear_field(np.diag([0.1, 0, 0])), np.broadcast_to(np.float32([2, 0, 0]), (*SHAPE, 3))
    composed = fields.compose(outer, inner)
    # x -> x + 2 -> x + 2 + 0.1 (x + 2 - c)
    np.testing.assert_allclose(composed[INNER], (inner + outer + 0.2 * np.float32([1, 0, 0]))[INNER], atol=1e-5)


def test_a_linear_velocity_integrates_to_the_matrix_exponential():
    generator = np.array([[0.02, 0.1, 0], [-0.1, 0.01, 0.05], [0, -0.05, 0.03]])
    expected = linear_field(expm(generator) - np.eye(3))
    np.testing.assert_allclose(fields.integrate(linear_field(generator))[INNER], expected[INNER], atol=2e-3)


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_integration_is_that_of_networks(steps):
    velocity = smooth_field(SHAPE, 3.0)
    expected = np.array(tensor_fields.integrate(velocity, steps))[0]
    np.testing.assert_allclose(fields.integrate(velocity[0], steps), expected, atol=1e-4)
    field = noise((*SHAPE, 3), 3.0)
    composed = np.array(tensor_fields.compose(field[None], velocity))[0]
    np.testing.assert_allclose(fields.compose(field, velocity[0]), composed, atol=1e-4)


def test_the_flow_back_undoes_the_flow():
    velocity = smooth_field((32, 32, 24), 1.5, sigma=4)[0]
    forward, backward = fields.integrate(velocity), fields.integrate(-velocity)
    assert np.abs(forward).max() > 1
    both = np.abs(fields.compose(forward, backward))
    assert both.max() < 0.1 and both.mean() < 0.01


def test_parts_approach_a_whole_that_they_do_not_make_up_yet():
    """With two halves of a whole of constant vectors one correction is exact; else it brings them nearer."""
    whole = np.broadcast_to(np.float32([1, -2, 0.5]), (*SHAPE, 3))
    np.testing.assert_allclose(fields.approach(0.3 * whole, whole, 2), 0.5 * whole, atol=1e-6)
    whole = fields.integrate(smooth_field(SHAPE, 2.0)[0])
    half = 0.5 * whole

    def miss(part):
        return np.abs(fields.compose(part, part) - whole)[INNER].mean()

    once = fields.approach(half, whole, 2)
    np.testing.assert_allclose(once, half + (whole - fields.compose(half, half)) / 2, atol=1e-5)
    assert miss(fields.approach(once, whole, 2)) < 0.2 * miss(half)
