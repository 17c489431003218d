"""Fields: known answers of warp, composition, integration, resizing and inversion; gradients; neurite's resize."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from scipy.linalg import expm

from acsgreg_tf import metrics
from acsgreg_tf.ops import fields, sampling
from tests.explore import examples
from tests.helpers import LARGE, SMALL, gradients, noise, smooth_field

INSIDE = (slice(None), *[slice(3, -3)] * 3)


def linear_field(matrix, shape):
    """u(x) = L (x - c): [1, *shape, N]."""
    centre = (np.array(shape) - 1) / 2
    return ((np.moveaxis(np.indices(shape), 0, -1) - centre) @ np.array(matrix).T)[None].astype("float32")


def test_identity_grid_holds_each_voxels_own_index():
    grid = np.array(fields.identity_grid((3, 4, 5)))
    assert grid.shape == (1, 3, 4, 5, 3) and grid.dtype == np.float32
    np.testing.assert_array_equal(grid[0, 2, 1, 4], [2, 1, 4])


# === warp and composition ===


def test_no_displacement_changes_nothing():
    image = noise((2, *SMALL, 2))
    np.testing.assert_array_equal(fields.warp(image, np.zeros((2, *SMALL, 3), "float32")), image)


def test_a_displacement_pulls():
    image = np.zeros((1, 7, 7), "float32")[..., None]
    image[0, 4, 2] = 1
    moved = np.array(fields.warp(image, np.full((1, 7, 7, 2), [3, -1], "float32")))
    assert moved[0, 1, 3, 0] == 1 and moved.sum() == 1


def test_the_result_lies_on_the_displacements_grid():
    image = noise((1, *SMALL, 2))
    moved = fields.warp(image, np.zeros((1, 3, 4, 5, 3), "float32"))
    np.testing.assert_array_equal(moved, image[:, :3, :4, :5])


def test_translations_compose_to_their_sum():
    outer, inner = (np.full((1, *SMALL, 3), t, "float32") for t in ([1, -2, 0.5], [0.25, 3, -1]))
    np.testing.assert_allclose(fields.compose(outer, inner), np.full((1, *SMALL, 3), [1.25, 1, -0.5]), atol=1e-6)


def test_composition_with_no_displacement_changes_nothing():
    u, none = smooth_field(SMALL, 1.5), np.zeros((1, *SMALL, 3), "float32")
    np.testing.assert_allclose(fields.compose(u, none), u, atol=1e-6)
    np.testing.assert_allclose(fields.compose(none, u), u, atol=1e-6)


def test_linear_maps_compose_to_their_product():
    outer, inner = noise((3, 3), 0.05, 1), noise((3, 3), 0.05, 2)
    product = (np.eye(3) + outer) @ (np.eye(3) + inner) - np.eye(3)
    result = np.array(fields.compose(linear_field(outer, SMALL), linear_field(inner, SMALL)))
    np.testing.assert_allclose(result[INSIDE], linear_field(product, SMALL)[INSIDE], atol=1e-4)


def test_warping_twice_is_warping_by_the_composition():
    # On a linear image and a linear outer field, where linear interpolation is exact.
    image = np.moveaxis(np.indices(SMALL), 0, -1)[None].astype("float32") @ np.float32([[1], [2], [-1]])
    outer, inner = linear_field(noise((3, 3), 0.02), SMALL), smooth_field(SMALL, 1.0)
    twice = np.array(fields.warp(fields.warp(image, outer), inner))
    once = np.array(fields.warp(image, fields.compose(outer, inner)))
    np.testing.assert_allclose(twice[INSIDE], once[INSIDE], atol=1e-3)


# === integration ===


def test_a_constant_velocity_integrates_to_itself():
    velocity = np.full((1, *SMALL, 3), [1.5, -0.5, 2], "float32")
    np.testing.assert_allclose(fields.integrate(velocity), velocity, atol=1e-5)


def test_no_steps_give_the_velocity():
    velocity = noise((1, *SMALL, 3))
    np.testing.assert_array_equal(fields.integrate(velocity, steps=0), velocity)


@pytest.mark.parametrize("rank", [2, 3])
def test_a_linear_velocity_integrates_to_the_matrix_exponential(rank):
    shape, generator = (24,) * rank, np.zeros((rank, rank))
    generator[0, 1], generator[1, 0] = -0.2, 0.2  # turns 0.2 rad
    generator[0, 0] = 0.05
    result = np.array(fields.integrate(linear_field(generator, shape), steps=10))[0]
    expected = linear_field(expm(generator) - np.eye(rank), shape)[0]
    middle = (slice(8, 16),) * rank  # whose paths stay away from the clamped border
    np.testing.assert_allclose(result[middle], expected[middle], atol=2e-3)


def test_a_field_and_its_negative_undo_each_other():
    velocity = smooth_field(LARGE, 4.0, sigma=5)
    forward, backward = fields.integrate(velocity), fields.integrate(-velocity)
    assert np.abs(np.array(forward)).max() > 3
    for both in (fields.compose(forward, backward), fields.compose(backward, forward)):
        assert np.abs(np.array(both)).max() < 0.1
        assert np.abs(np.array(both)).mean() < 0.005


def test_one_squaring_is_the_field_after_itself():
    velocity = smooth_field(SMALL, 1.5)
    half = fields.integrate(velocity / 2, steps=6)
    np.testing.assert_allclose(fields.integrate(velocity, steps=7), fields.compose(half, half), atol=1e-5)


@given(st.integers(0, 2**16), st.floats(0.1, 3))
@examples(5)
def test_a_smooth_velocity_gives_no_folds(seed, peak):
    velocity = smooth_field((14, 14, 12), peak, sigma=2.5, seed=seed)
    assert metrics.jacobian_determinant(np.array(fields.integrate(velocity))[0]).min() > 0


@pytest.mark.parametrize("shape", [(12, 9), SMALL, LARGE], ids=["2-D", "3-D", "3-D compiled"])
def test_the_gradient_of_integration_is_that_of_automatic_differentiation(shape):
    velocity = smooth_field(shape, 4.0, batch=2) + noise((2, *shape, len(shape)), 0.2)

    def plain(field):
        field = field / 2.0**3
        for _ in range(3):
            field = field + sampling.linear(field, fields.identity_grid(shape) + field, fill_value=None)
        return field

    expected, (by_velocity,) = gradients(plain, velocity)
    value, (result,) = gradients(lambda v: fields.integrate(v, steps=3), velocity)
    np.testing.assert_allclose(value, expected, atol=1e-5)
    np.testing.assert_allclose(result, by_velocity, atol=1e-4)


# === resizing ===


def test_resizing_keeps_the_corner_voxels():
    values = noise((1, 4, 5, 6, 2))
    result = np.array(fields.resize(values, (9, 10, 3)))
    assert result.shape == (1, 9, 10, 3, 2)
    for corner in np.ndindex(2, 2, 2):
        at = (0, *(-bit for bit in corner))
        np.testing.assert_allclose(result[at], values[at], atol=1e-6)


def test_resizing_to_the_same_shape_changes_nothing():
    values = noise((1, *SMALL, 2))
    np.testing.assert_array_equal(fields.resize(values, SMALL), values)


def test_a_ramp_stays_a_ramp():
    ramp = np.linspace(0, 1, 5, dtype="float32").reshape(1, 5, 1, 1, 1)
    np.testing.assert_allclose(np.array(fields.resize(ramp, (13, 1, 1))).ravel(), np.linspace(0, 1, 13), atol=1e-6)


def test_one_voxel_spreads_to_all():
    result = fields.resize(np.full((1, 1, 2, 1), 3.0, "float32"), (4, 2))
    np.testing.assert_array_equal(result, np.full((1, 4, 2, 1), 3.0))


def test_resizing_agrees_with_scipy():
    values = noise((1, *SMALL, 2))
    result = np.array(fields.resize(values, tuple(2 * side for side in SMALL)))
    np.testing.assert_allclose(result, ndimage.zoom(values, (1, 2, 2, 2, 1), order=1), atol=1e-5)


@pytest.mark.tensorflow
def test_resizing_agrees_with_neurite(tf):
    import neurite

    values = noise((1, *SMALL, 2))
    result = fields.resize(values, tuple(2 * side for side in SMALL))
    np.testing.assert_allclose(result[0], neurite.utils.resize(tf.constant(values[0]), 2.0), atol=1e-5)


def test_a_resized_displacement_is_in_the_new_voxels():
    result = fields.resize_displacement(np.full((1, 5, 5, 3, 3), [1, 2, -1], "float32"), (9, 17, 3))
    np.testing.assert_allclose(result, np.full((1, 9, 17, 3, 3), [2, 8, -1]), atol=1e-5)


def test_a_linear_map_is_the_same_on_both_grids():
    stretch = np.diag([0.1, -0.2, 0.3])
    result = fields.resize_displacement(linear_field(stretch, (6, 6, 5)), (12, 10, 15))
    np.testing.assert_allclose(result, linear_field(stretch, (12, 10, 15)), atol=1e-5)


def test_a_displacement_of_a_single_slice_keeps_its_unit_there():
    result = np.array(fields.resize_displacement(np.ones((1, 3, 1, 3, 3), "float32"), (5, 1, 5)))
    np.testing.assert_allclose(result[0, 0, 0, 0], [2, 1, 2])


def test_a_field_and_its_negative_undo_each_other_after_resizing():
    velocity = smooth_field((24, 24, 16), 2.0, sigma=3)
    forward, backward = (fields.resize_displacement(fields.integrate(s * velocity), LARGE) for s in (1.0, -1.0))
    both = np.array(fields.compose(forward, backward))
    assert np.abs(np.array(forward)).max() > 3
    assert np.abs(both).max() < 0.15 and np.abs(both).mean() < 0.01
