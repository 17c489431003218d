"""Grids by known answers."""

import itertools

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import Grid, network_grid
from acsgreg_tf.geometry.grid import box_corners
from tests.explore import examples
from tests.geometry.cases import centred_grid

SPACINGS = st.tuples(*[st.floats(0.2, 5)] * 3)
ANGLES = st.tuples(*[st.floats(-3, 3)] * 3)
SHAPES = st.tuples(*[st.integers(1, 40)] * 3)


def test_a_left_handed_grid():
    affine = np.array([[-2.0, 0, 0, 10], [0, 0, 3, -4], [0, 0.5, 0, 7], [0, 0, 0, 1]])
    grid = Grid((5, 9, 3), affine)
    np.testing.assert_allclose(grid.spacing, (2, 0.5, 3))
    np.testing.assert_allclose(grid.center, (10 - 2 * 2, -4 + 3 * 1, 7 + 0.5 * 4))
    np.testing.assert_allclose(grid.index_to_points((1, 2, 1)), (8, -1, 8))
    np.testing.assert_allclose(grid.points_to_index([[8, -1, 8], [10, -4, 7]]), [[1, 2, 1], [0, 0, 0]], atol=1e-12)


@examples(30)
@given(SHAPES, SPACINGS, ANGLES)
def test_indices_and_points_undo_each_other(shape, spacing, angles):
    grid = centred_grid(shape, spacing, angles, (100, -50, 900))
    index = np.random.default_rng(0).uniform(-5, 45, size=(2, 7, 3))
    np.testing.assert_allclose(grid.points_to_index(grid.index_to_points(index)), index, atol=1e-9)
    np.testing.assert_allclose(grid.center, (100, -50, 900), atol=1e-9)
    np.testing.assert_allclose(grid.spacing, spacing)


@examples(20)
@given(SHAPES, ANGLES)
def test_slabs_tile_the_voxel_centres(shape, angles):
    grid = centred_grid(shape, (1, 2, 3), angles)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    tiles = [grid.points(*slab) for slab in grid.slabs(voxels=100)]
    np.testing.assert_allclose(np.concatenate(tiles), grid.index_to_points(index), atol=1e-9)
    np.testing.assert_allclose(grid.points(), grid.index_to_points(index), atol=1e-9)


def test_a_crop_keeps_its_place_and_may_reach_outside():
    grid = centred_grid((10, 12, 14), (1, -2, 3), (0.1, 0.2, 0.3))
    crop = grid.crop((2, -3, 4), (6, 20, 14))
    assert crop.shape == (4, 23, 10)
    np.testing.assert_allclose(crop.index_to_points((0, 3, 0)), grid.index_to_points((2, 0, 4)))


def test_the_outer_faces_belong_to_the_grid_on_the_low_side_only():
    grid = Grid((4, 5, 6), np.eye(4))
    index = [
        [-0.5, 0, 0],
        [-0.51, 0, 0],
        [3.49, 0, 0],
        [3.5, 0, 0],
        [0, 4.49, 5.49],
        [0, 0, 5.5],
        [0, -0.6, 0],
    ]
    assert grid.contains_index(index).tolist() == [True, False, True, False, True, False, False]
    # The same face met from another grid, with a rounding error either way.
    assert grid.contains_index([[-0.5 - 1e-12, 0, 0], [3.5 - 1e-12, 0, 0]]).tolist() == [True, False]


def test_isclose():
    grid = centred_grid((100, 100, 100), (1, 1, 2), (0.1, 0.2, 0.3))
    assert grid.isclose(Grid(grid.shape, grid.affine.astype(np.float32)))
    assert not grid.isclose(Grid((100, 100, 99), grid.affine))
    shifted = grid.affine.copy()
    shifted[0, 3] += 0.02
    assert not grid.isclose(Grid(grid.shape, shifted))
    assert grid.isclose(Grid(grid.shape, shifted), tolerance=0.03)
    turned = centred_grid((100, 100, 100), (1, 1, 2), (0.101, 0.2, 0.3))
    assert not grid.isclose(turned)  # the centres agree, the corners do not


@pytest.mark.parametrize(
    "shape, affine, fault",
    [
        ((4, 4), np.eye(4), "three positive integers"),
        ((4, 4, 0), np.eye(4), "three positive integers"),
        ((4, 4, 4), np.eye(3), "4x4"),
        ((4, 4, 4), np.diag([1, 0, 1, 1.0]), "singular"),
        ((4, 4, 4), np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "singular"),
        ((4, 4, 4), np.diag([1, np.nan, 1, 1]), "NaN"),
        ((4, 4, 4), np.diag([1, 1, 1, 2.0]), "last row"),
    ],
)
def test_grids_that_cannot_be(shape, affine, fault):
    with pytest.raises(InputError, match=fault):
        Grid(shape, affine)


def test_a_tiny_voxel_is_not_singular():
    assert Grid((4, 4, 4), np.diag([0.01, 0.01, 0.01, 1])).spacing.tolist() == [0.01] * 3


def test_a_grid_keeps_its_affine():
    affine = np.eye(4)
    grid = Grid((4, 4, 4), affine)
    affine[0, 3] = 5
    assert grid.affine[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 3] = 5


def test_network_grid():
    grid = network_grid((10, -20, 30.5))
    assert grid.shape == (128, 128, 64) and nib.aff2axcodes(grid.affine) == ("R", "A", "S")
    np.testing.assert_array_equal(grid.affine[:3, :3], np.eye(3))
    np.testing.assert_allclose(grid.index_to_points((63.5, 63.5, 31.5)), (10, -20, 30.5))
    small = network_grid((1, 2, 3), (10, 11, 12), (0.5, 1, 2))
    np.testing.assert_allclose(small.center, (1, 2, 3))
    np.testing.assert_allclose(nib.affines.voxel_sizes(small.affine), (0.5, 1, 2))


def test_the_corners_of_a_box():
    corners = box_corners((0, -1, 2), (3, 4, 5))
    assert sorted(map(tuple, corners.tolist())) == sorted(itertools.product((0, 3), (-1, 4), (2, 5)))
