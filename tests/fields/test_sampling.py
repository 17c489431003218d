"""Sampling: known places, the edges, and scipy and the networks' own operations as judges."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from acsgreg_tf import fields
from acsgreg_tf.ops import affine as affine_ops
from acsgreg_tf.ops import fields as tensor_fields
from tests.helpers import SMALL, noise

SHAPES = [SMALL, (7, 5, 1), (1, 4, 6)]


def indices(shape):
    """A volume of the voxels' own indices; sampled linearly, it shows where it was sampled."""
    return np.moveaxis(np.indices(shape), 0, -1).astype("float32")


@pytest.mark.parametrize("shape", SHAPES)
def test_points_inside_and_outside_agree_with_scipy(shape):
    volume = noise((*shape, 2))
    points = np.random.default_rng(0).uniform(-3, np.array(shape) + 2, (500, 3))
    expected = [map_coordinates(volume[..., c], points.T, order=1, mode="nearest") for c in range(2)]
    np.testing.assert_allclose(fields.sample(volume, points), np.stack(expected, axis=-1), atol=1e-5)


def test_samples_lie_where_they_are_asked_for():
    points = np.random.default_rng(0).uniform(0, np.array(SMALL) - 1, (3, 4, 3))
    np.testing.assert_allclose(fields.sample(indices(SMALL), points), points, atol=1e-5)
    assert fields.sample(indices(SMALL), np.empty((0, 3))).shape == (0, 3)


def test_places_that_are_no_numbers_are_no_crash():
    volume = noise((*SMALL, 1))
    result = fields.sample(volume, [[np.nan, 1, 1], [np.inf, 1, 1], [-np.inf, 1e30, 1]])
    np.testing.assert_array_equal(result[1], volume[-1, 1, 1])
    np.testing.assert_array_equal(result[2], volume[0, -1, 1])


def test_a_displacement_pulls_and_none_changes_nothing():
    volume = noise((*SMALL, 2))
    np.testing.assert_array_equal(fields.warp(volume, np.zeros((*SMALL, 3))), volume)
    shift = np.broadcast_to(np.float32([1, 0, -2]), (*SMALL, 3))
    np.testing.assert_array_equal(fields.warp(volume, shift)[:-1, :, 2:], volume[1:, :, :-2])


@pytest.mark.parametrize("shape", [SMALL, (4, 6, 7)])
def test_warps_are_those_of_networks(shape):
    volume, affine = noise((*SMALL, 2)), np.eye(3, 4) + noise((3, 4), 0.1, seed=1) * [1, 1, 1, 10]
    displacement = noise((*shape, 3), 2.0, seed=2)
    pairs = [
        (fields.warp(volume, displacement), tensor_fields.warp(volume[None], displacement[None])),
        (fields.warp_affine(volume, affine), affine_ops.warp_affine(volume[None], affine[None])),
        (
            fields.warp_jointly(volume, affine, displacement),
            affine_ops.warp_jointly(volume[None], affine[None].astype("float32"), displacement[None]),
        ),
    ]
    for ours, expected in pairs:
        np.testing.assert_allclose(ours, np.array(expected)[0], atol=2e-4)


def test_points_are_displaced_up_to_the_outer_faces_and_left_beyond():
    """A field of (1, 2, 3) mm on voxels of 2 mm from 10 mm on: its faces are half a voxel out."""
    displacement = np.broadcast_to(np.float32([1, 2, 3]), (4, 5, 6, 3))
    to_index = np.column_stack([np.eye(3) / 2, [-5, -5, -5]])
    points = np.array([[10, 10, 10], [9.01, 10, 10], [8.99, 10, 10], [16.99, 10, 10], [17.01, 10, 10], [13, 14, 20.5]])
    moved = fields.displace(points, to_index, displacement, room=0.5)
    np.testing.assert_allclose(moved - points, np.outer([1, 1, 0, 1, 0, 1], [1, 2, 3]), atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "int16", "uint8", "float64", "int32"])
@pytest.mark.parametrize("layout", ["C", "F", "neither"])
def test_images_of_any_type_and_layout_are_looked_up_in_a_frame_of_their_own(dtype, layout):
    image = np.random.default_rng(0).integers(0, 200, SMALL).astype(dtype)
    laid = np.asarray(image, order=layout) if layout != "neither" else np.repeat(image, 2, axis=1)[:, ::2]
    points = np.random.default_rng(1).uniform(-20, 30, (4, 100, 3))
    to_index = np.column_stack([[[0.4, 0.1, 0], [-0.1, 0.5, 0], [0, 0.05, 0.3]], [1, -2, 3]])
    index = (points @ to_index[:, :3].T + to_index[:, 3]).reshape(-1, 3)
    expected = map_coordinates(image.astype(float), index.T, order=1, mode="nearest")
    expected[~np.all((index >= -0.5) & (index < np.array(SMALL) - 0.5), axis=1)] = -7
    values = fields.look_up(laid, points, to_index, room=0.5, fill=-7)
    assert values.dtype == np.float32 and values.shape == (4, 100) and (expected == -7).any()
    np.testing.assert_allclose(values.ravel(), expected, atol=1e-3)
