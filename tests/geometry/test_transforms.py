"""Transforms by known answers, and against ITK where a displacement field ends."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import Affine, Composite, DenseField, Grid, network_grid
from acsgreg_tf.io.transforms import to_sitk_transform
from tests.explore import examples
from tests.geometry.cases import (
    centred_grid,
    fixed_grid,
    moving_grid,
    network_transform,
    rigid_and_scale,
    smooth_field,
)

POINTS = np.random.default_rng(0).uniform(-40, 40, size=(200, 3))


def shift(x, y, z):
    matrix = np.eye(4)
    matrix[:3, 3] = (x, y, z)
    return Affine(matrix)


def test_the_first_of_a_composite_comes_first():
    double = Affine(np.diag([2.0, 2, 2, 1]))
    for both in (Composite([shift(1, 0, 0), double]), shift(1, 0, 0).compose(double)):
        np.testing.assert_allclose(both.apply([[1.0, 1, 1]]), [[4, 2, 2]])
        np.testing.assert_allclose(both.inverse().apply([[4.0, 2, 2]]), [[1, 1, 1]])


def test_affines_compose_to_an_affine():
    both = shift(1, 0, 0).compose(Affine(np.diag([2.0, 2, 2, 1])))
    assert isinstance(both, Affine)
    np.testing.assert_allclose(both.matrix, [[2, 0, 0, 2], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]])


def test_composites_are_unpacked():
    a, b, c = shift(1, 0, 0), shift(0, 1, 0), Affine(np.diag([1.0, 1, 3, 1]))
    assert Composite([Composite([a, b]), c]).parts == (a, b, c)
    np.testing.assert_array_equal(Composite([]).apply(POINTS), POINTS)


def test_a_field_shifts_inside_and_rests_outside():
    grid = centred_grid((10, 10, 10), (2, 2, 2))
    field = DenseField(np.broadcast_to((1.0, -2.0, 3.0), (10, 10, 10, 3)), grid)
    points = np.array([[0.0, 0, 0], [9.9, 0, 0], [10.1, 0, 0], [0, -9.9, 0], [0, -10.1, 0]])
    moved = [[1, -2, 3]] * 2 + [[0, 0, 0]] + [[1, -2, 3]] + [[0, 0, 0]]
    np.testing.assert_allclose(field.apply(points) - points, moved, atol=1e-6)


def test_a_field_is_linear_between_voxels():
    grid = centred_grid((8, 8, 8), (1, -1.5, 2), (0.2, 0.3, -0.4), (5, 5, 5))
    field = DenseField(grid.points() * 0.1, grid)  # u(x) = x / 10
    points = grid.index_to_points(np.random.default_rng(1).uniform(0, 7, size=(50, 3)))
    np.testing.assert_allclose(field.apply(points), 1.1 * points, atol=1e-5)


@pytest.mark.parametrize("axis", range(3))
def test_a_field_ends_where_itks_ends(axis):
    field = smooth_field(centred_grid((6, 7, 8), (1.0, 1.5, 2.0), (0.3, 0.2, 0.1), (3, 2, 1)), 3)
    theirs = to_sitk_transform(field)
    index = np.array([2.2, 3.3, 4.4])
    for place in (-1, -0.51, -0.49, -0.01, 0, 0.5, 5.01, 5.49, 5.51, 6.49, 6.51, 7, 7.49, 7.51, 9):
        index[axis] = place
        point = field.grid.index_to_points(index)
        expected = np.array(theirs.TransformPoint((point * (-1, -1, 1)).tolist())) * (-1, -1, 1)
        np.testing.assert_allclose(field.apply(point), expected, atol=1e-5)


@examples(20)
@given(st.lists(st.sampled_from(["affine", "field"]), min_size=1, max_size=4), st.integers(0, 99))
def test_any_composite_agrees_with_itk(kinds, seed):
    grid = centred_grid((12, 10, 9), (-2, 3, 4), (0.3, -0.2, 0.1))
    make = {
        "affine": lambda n: rigid_and_scale(grid, grid),
        "field": lambda n: smooth_field(grid, 5, seed + n),
    }
    composite = Composite([make[kind](n) for n, kind in enumerate(kinds)])
    theirs = to_sitk_transform(composite)
    expected = [np.array(theirs.TransformPoint((p * (-1, -1, 1)).tolist())) * (-1, -1, 1) for p in POINTS]
    np.testing.assert_allclose(composite.apply(POINTS), expected, atol=1e-4)


def test_points_keep_their_shape_and_are_not_changed():
    transform = network_transform(fixed_grid(), moving_grid())
    points = fixed_grid().points(3, 5)
    before = points.copy()
    moved = transform.apply(points)
    assert moved.shape == points.shape and moved.dtype == np.float64
    np.testing.assert_array_equal(points, before)
    np.testing.assert_allclose(moved[1, 2, 3], transform.apply(points[1, 2, 3]))


def test_an_inverse_field_must_be_supplied():
    grid = network_grid((0, 0, 0), (16, 16, 16))
    forward, backward = np.full((16, 16, 16, 3), 0.5), np.full((16, 16, 16, 3), -0.5)
    with pytest.raises(InputError, match="without its inverse"):
        Composite([DenseField(forward, grid), shift(1, 2, 3)]).inverse()
    both = Composite([DenseField(forward, grid, backward), shift(1, 2, 3)])
    points = np.random.default_rng(0).uniform(-5, 5, size=(50, 3))
    np.testing.assert_allclose(both.inverse().apply(both.apply(points)), points, atol=1e-6)
    np.testing.assert_allclose(both.inverse().inverse().apply(points), both.apply(points), atol=1e-6)


def test_the_total_displacement_is_the_transform_at_the_voxels():
    grid = fixed_grid()
    transform = network_transform(grid, moving_grid())
    total = transform.to_displacement(grid)
    assert total.displacement.dtype == np.float32
    points = grid.points(7, 20)
    np.testing.assert_allclose(total.apply(points), transform.apply(points), atol=1e-4)


@examples(25)
@given(st.integers(0, 999))
def test_nothing_from_outside_the_reach_lands_in_the_box(seed):
    rng = np.random.default_rng(seed)
    transform = network_transform(fixed_grid(), moving_grid())
    low = moving_grid().center - rng.uniform(15, 40, 3)
    high = moving_grid().center + rng.uniform(15, 40, 3)
    points = fixed_grid().center + rng.uniform(-60, 60, size=(5000, 3))
    moved = transform.apply(points)
    lands = ((moved >= low) & (moved <= high)).all(axis=1)
    low, high = transform.reach(low, high)
    assert lands.any() and ((points[lands] >= low) & (points[lands] <= high)).all()


@pytest.mark.parametrize(
    "make, fault",
    [
        (lambda: Affine(np.zeros((4, 4))), "last row"),
        (lambda: Affine(np.diag([1.0, 1, 0, 1])), "singular"),
        (lambda: Affine(np.eye(3)), "4x4"),
        (lambda: DenseField(np.zeros((4, 4, 4)), Grid((4, 4, 4), np.eye(4))), r"must be \(4, 4, 4, 3\)"),
        (lambda: DenseField(np.full((4, 4, 4, 3), np.nan), Grid((4, 4, 4), np.eye(4))), "NaN"),
        (
            lambda: DenseField(np.zeros((4, 4, 4, 3)), Grid((4, 4, 4), np.eye(4)), np.zeros((4, 4, 5, 3))),
            r"must be \(4, 4, 4, 3\)",
        ),
    ],
)
def test_transforms_that_cannot_be(make, fault):
    with pytest.raises(InputError, match=fault):
        make()


def test_sitk_knows_our_affine():
    ours = rigid_and_scale(fixed_grid(), moving_grid())
    theirs = to_sitk_transform(ours)
    assert isinstance(theirs, sitk.AffineTransform)
    expected = [np.array(theirs.TransformPoint((p * (-1, -1, 1)).tolist())) * (-1, -1, 1) for p in POINTS]
    np.testing.assert_allclose(ours.apply(POINTS), expected, atol=1e-9)
