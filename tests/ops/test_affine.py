"""Affines in voxels about the grid's centre: known matrices, against plain numpy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsgreg_tf.ops import affine, sampling
from acsgreg_tf.ops.fields import identity_grid, warp
from tests.explore import examples
from tests.helpers import LARGE, SMALL, gradients, is_no_gradient, noise, smooth_field
from tests.ops.cases import after_displacement, coordinates

IDENTITY = np.eye(3, 4, dtype="float32")[None]


def test_centre_lies_half_way_between_the_first_and_the_last_voxel():
    np.testing.assert_array_equal(affine.center((10, 9, 1)), [4.5, 4, 0])


@pytest.mark.parametrize("shape", [(7, 5), SMALL])
def test_identity_does_not_move(shape):
    result = affine.to_displacement(np.eye(len(shape), len(shape) + 1, dtype="float32")[None], shape)
    np.testing.assert_array_equal(result, np.zeros((1, *shape, len(shape))))


def test_translation_is_in_voxels():
    matrix = IDENTITY.copy()
    matrix[0, :, 3] = [1.5, -2, 0.25]
    expected = np.full((1, *SMALL, 3), [1.5, -2, 0.25])
    np.testing.assert_allclose(affine.to_displacement(matrix, SMALL), expected, atol=1e-6)


def test_scaling_is_about_the_centre():
    matrix = np.concatenate([2 * IDENTITY[:, :, :3], np.zeros((1, 3, 1), "float32")], -1)
    result = np.array(affine.to_displacement(matrix, (5, 5, 3)))[0]
    np.testing.assert_array_equal(result[2, 2, 1], [0, 0, 0])
    np.testing.assert_array_equal(result[0, 4, 1], [-2, 2, 0])
    about_zero = np.array(affine.to_displacement(matrix, (5, 5, 3), shift_center=False))[0]
    np.testing.assert_array_equal(about_zero[3, 0, 2], [3, 0, 2])


def test_quarter_turn_takes_the_corners_round():
    turn = np.float32([[[0, -1, 0], [1, 0, 0]]])
    points = np.array(affine.to_displacement(turn, (4, 4)) + identity_grid((4, 4)))[0]
    np.testing.assert_allclose(points[0, 0], [3, 0], atol=1e-6)
    np.testing.assert_allclose(points[3, 0], [3, 3], atol=1e-6)


@given(st.integers(0, 2**16))
@examples(15)
def test_agrees_with_matrix_arithmetic(seed):
    matrix = (np.eye(3, 4) + noise((2, 3, 4), 0.3, seed)).astype("float32")
    centre = (np.array(SMALL) - 1) / 2
    points = np.moveaxis(np.indices(SMALL), 0, -1)
    result = np.array(affine.to_displacement(matrix, SMALL))
    for b in range(2):
        expected = (points - centre) @ matrix[b, :, :3].T + matrix[b, :, 3] + centre - points
        np.testing.assert_allclose(result[b], expected, atol=1e-4)


CLAMP, FILL = {"fill_value": None, "shift_center": True}, {"fill_value": 0.5, "shift_center": False}


@pytest.mark.parametrize("shape, options", [((12, 9), CLAMP), (SMALL, CLAMP), (SMALL, FILL), (LARGE, CLAMP)])
def test_a_constant_image_is_warped_the_same_and_the_affine_gets_the_same_gradient(shape, options):
    rank = len(shape)
    image, matrix = noise((2, *shape, 1)), (np.eye(rank, rank + 1) + noise((2, rank, rank + 1), 0.1)).astype("float32")
    plain, (_, expected) = gradients(lambda i, a: affine.warp_affine(i, a, **options), image, matrix)
    value, (none, result) = gradients(lambda i, a: affine.warp_affine(i, a, constant=True, **options), image, matrix)
    assert is_no_gradient(none)
    # Noise is steep: a last digit of the place is the fifth digit of the value.
    np.testing.assert_allclose(value, plain, atol=2e-4)
    np.testing.assert_allclose(result, expected, rtol=1e-3, atol=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize("constant", [False, True])
def test_warping_by_a_translation_shifts_the_image(constant):
    image, matrix = noise((1, *SMALL, 1)), IDENTITY.copy()
    matrix[0, :, 3] = [2, 0, -1]
    result = np.array(affine.warp_affine(image, matrix, constant=constant))
    np.testing.assert_allclose(result[:, :-2, :, 1:], image[:, 2:, :, :-1], atol=1e-5)
    nearest = affine.warp_affine(image, matrix, "nearest", constant=constant)
    np.testing.assert_array_equal(np.array(nearest)[:, :-2, :, 1:], image[:, 2:, :, :-1])


@pytest.mark.parametrize("constant", [False, True])
def test_batches_of_different_sizes_are_refused(constant):
    with pytest.raises(ValueError, match="one batch size, got 2 and 1"):
        affine.warp_affine(noise((2, *SMALL, 1)), IDENTITY, constant=constant)


# === through phi and the affine at once ===


def near_identity(batch=2, scale=0.05, seed=0):
    return (np.eye(3, 4) + noise((batch, 3, 4), scale, seed)).astype("float32")


def test_warped_jointly_samples_at_phi_then_the_affine():
    matrix, phi, image = near_identity(1, 0.1), smooth_field(SMALL, 2.0), coordinates(SMALL)
    centre = (np.array(SMALL) - 1) / 2
    places = (image[0] + phi[0] - centre) @ matrix[0, :, :3].T + matrix[0, :, 3] + centre
    expected = np.clip(places, 0, np.array(SMALL) - 1)
    np.testing.assert_allclose(np.array(affine.warp_jointly(image, matrix, phi))[0], expected, atol=1e-4)


def test_warped_jointly_by_the_identity_affine_is_warped_by_phi():
    image, phi = noise((1, *SMALL, 2)), smooth_field(SMALL, 2.0)
    np.testing.assert_allclose(affine.warp_jointly(image, IDENTITY, phi), warp(image, phi), atol=1e-4)


@pytest.mark.parametrize(
    "shape, fill", [(SMALL, None), (SMALL, 0.5), (LARGE, None)], ids=["plain", "filled", "compiled"]
)
def test_warped_jointly_is_sampled_at_the_whole_transform_with_its_gradients(shape, fill):
    image, matrix, phi = noise((2, *shape, 2)), near_identity(), smooth_field(shape, 2.0, batch=2)

    def in_two_steps(i, a, u):
        return sampling.linear(i, identity_grid(shape) + after_displacement(a, u), fill_value=fill)

    expected, (_, by_affine, by_phi) = gradients(in_two_steps, image, matrix, phi)
    value, (none, found_affine, found_phi) = gradients(
        lambda i, a, u: affine.warp_jointly(i, a, u, fill_value=fill), image, matrix, phi
    )
    assert is_no_gradient(none)
    np.testing.assert_allclose(value, expected, atol=2e-4)
    np.testing.assert_allclose(found_affine, by_affine, rtol=1e-3, atol=2e-4 * np.abs(by_affine).max())
    # Where a point lies on a voxel to the last digit the slope may be that of either side.
    apart = np.abs(found_phi - by_phi) > 1e-3 * np.abs(by_phi).max()
    assert apart.mean() < 1e-3


def test_the_displacement_may_have_another_grid_than_the_volume():
    """A window 4 voxels into the volume: the affine about the window's centre takes its voxels to the volume's."""
    volume, shape = noise((2, 14, 12, 10, 1)), (5, 4, 6)
    phi, matrix = noise((2, *shape, 3), 0.3), np.repeat(IDENTITY, 2, axis=0)
    matrix[:, :, 3] = [4, 3, 2]
    result = np.array(affine.warp_jointly(volume, matrix, phi))
    assert result.shape == (2, *shape, 1)
    expected = sampling.sample(volume, identity_grid(shape) + phi + np.float32([4, 3, 2]))
    np.testing.assert_allclose(result, expected, atol=1e-5)

    def in_two_steps(a, u):
        about = affine.center(shape)
        return sampling.sample(volume, affine.transform_points(a, identity_grid(shape) + u, about))

    matrix = matrix + noise((2, 3, 4), 0.05)
    expected, slopes = gradients(in_two_steps, matrix, phi)
    value, result = gradients(lambda a, u: affine.warp_jointly(volume, a, u), matrix, phi)
    np.testing.assert_allclose(value, expected, atol=1e-4)
    for got, want in zip(result, slopes, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)


def test_warping_jointly_refuses_batches_of_different_sizes():
    with pytest.raises(ValueError, match="one batch size, got 2 and 1"):
        affine.warp_jointly(noise((2, *SMALL, 1)), IDENTITY, noise((2, *SMALL, 3)))
