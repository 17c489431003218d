"""The box on both grids: where its windows lie, what their affines and matrices mean, and its soft border."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsgreg_tf import fields
from acsgreg_tf.ops.fields import resize_displacement
from acsgreg_tf.registration.refine.box import Box
from tests.explore import examples
from tests.helpers import noise

# Full grid and lattice: half, half of odd sides from either end, a third, the same, and a step a little below 2.
GRIDS = [
    ((48, 40, 24), (24, 20, 12)),
    ((41, 40, 33), (20, 20, 17)),
    ((49, 37, 31), (17, 13, 11)),
    ((20, 18, 17),) * 2,
    ((60, 62, 64), (31, 32, 33)),
]
PLACES = [((5, 30), (9, 20), (8, 15)), ((0, 12), (17, 36), (0, 30)), ((19, 20), (12, 13), (11, 12))]


def block(full, place):
    mask = np.zeros(full, bool)
    mask[tuple(slice(min(a, n - 1), b) for (a, b), n in zip(place, full))] = True
    return mask


def windows():
    """Each grid with masks in the middle, at the border, of one voxel, and empty: coarse and fine windows."""
    for full, lattice in GRIDS:
        for mask in [*(block(full, place) for place in PLACES), np.zeros(full, bool)]:
            box = Box(mask, lattice, margin=3, quantum=4)
            yield mask, box, box.coarse(), box.fine()


def moving_voxels(window, affine, points):
    """Where `fields.warp_jointly` samples the moving volume for points (N, 3) in the window's voxels."""
    matrix = window.affine(affine)
    centre = (np.array(window.shape) - 1) / 2
    return (points - centre) @ matrix[:, :3].T + matrix[:, 3] + centre


def test_the_identity_maps_points_where_they_lie():
    for _, _, *both in windows():
        for window in both:
            corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(window.shape) - 1)
            there = moving_voxels(window, np.eye(3, 4), corners)
            np.testing.assert_allclose(there, corners + window.first, atol=1e-4)


def test_an_affine_of_the_full_grid_is_the_same_through_every_window():
    affine = np.eye(3, 4) + noise((3, 4), 0.1, seed=1) * [1, 1, 1, 20]
    for _, box, *both in windows():
        centre = (np.array(box.full) - 1) / 2
        for window in both:
            points = np.random.default_rng(0).uniform(0, window.shape, (5, 3))
            in_full = (points + window.first) * window.step  # full voxels
            expected = ((in_full - centre) @ affine[:, :3].T + affine[:, 3] + centre) / window.step
            np.testing.assert_allclose(moving_voxels(window, affine, points), expected, atol=1e-3)


def test_the_gradients_way_back_is_the_adjoint_of_the_affines_way_in():
    rng = np.random.default_rng(0)
    for _, _, *both in windows():
        for window in both:
            step, upstream = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
            there = window.affine(step) - window.affine(np.zeros((3, 4)))
            assert np.sum(there * upstream) == pytest.approx(
                np.sum(step * window.affine_gradient(upstream)), rel=1e-4, abs=1e-3
            )


def test_the_places_give_what_resizing_the_whole_field_and_cropping_gives():
    for _, box, coarse, fine in windows():
        field = noise((*box.lattice, 3))
        inside = coarse.crop(field)
        np.testing.assert_array_equal(inside, field[box.inside])
        assert inside.shape[:3] == coarse.shape == box.shape and coarse.places == ()
        whole = np.array(resize_displacement(field[None], box.full))[0]
        resized = fields.resize(inside, fine.places) * fine.scale
        assert resized.shape[:3] == fine.shape
        np.testing.assert_allclose(resized, fine.crop(whole), atol=1e-4)


def test_windows_lie_within_their_grids_and_hold_the_mask_with_its_margin():
    for mask, box, coarse, fine in windows():
        assert np.all(coarse.first >= 0) and np.all(coarse.first + coarse.shape <= box.lattice)
        assert np.all(fine.first >= 0) and np.all(fine.first + fine.shape <= box.full)
        assert all(n % 4 == 0 or n == side for n, side in zip(box.shape, box.lattice))
        if not mask.any():
            assert box.shape == box.lattice and fine.shape == box.full
            continue
        held = np.argwhere(mask)
        low, high = np.maximum(held.min(0) - 3, 0), np.minimum(held.max(0) + 3, np.array(box.full) - 1)
        assert np.all(box.first * box.step <= low) and np.all((box.first + box.shape - 1) * box.step >= high - 1e-6)
        # Whole full voxels between the box's ends: at most one step less at either end.
        assert np.all(fine.first <= low + 1) and np.all(fine.first + fine.shape - 1 >= high - np.ceil(box.step))
        assert fine.crop(mask).sum() == mask.sum()


def test_a_box_on_the_full_grid_has_one_window():
    box = Box(block((20, 18, 17), PLACES[2]), (20, 18, 17), margin=3, quantum=4)
    coarse, fine = box.coarse(), box.fine()
    assert fine.shape == coarse.shape == (4, 8, 8) and fine.places == () and np.all(fine.step == 1)
    np.testing.assert_array_equal(fine.first, coarse.first)


@given(st.integers(0, 2**16), st.sampled_from([2, 4, 8]))
@examples(30)
def test_boxes_of_one_size_anywhere_make_windows_of_one_shape(seed, quantum):
    """So that few shapes are compiled: a box that touches no border, or both, has one shape wherever it lies."""
    rng = np.random.default_rng(seed)
    full = tuple(int(n) for n in rng.integers(40, 80, 3))
    lattice = tuple(n // 2 for n in full)
    shapes = {}
    for _ in range(6):
        place = [sorted(int(n) for n in rng.integers(0, side, 2)) for side in full]
        box = Box(block(full, [(a, b + 1) for a, b in place]), lattice, 2, quantum)
        assert shapes.setdefault(box.shape, box.fine().shape) == box.fine().shape


def test_the_taper_falls_to_0_at_the_faces_inside_the_grid_and_stays_1_at_the_border():
    box = Box(block((64, 64, 48), ((24, 40), (0, 16), (0, 48))), (32, 32, 24), margin=4, quantum=4)
    taper = box.taper(width=3)
    assert taper.shape == (*box.shape, 1) and taper.dtype == np.float32
    assert box.first[0] > 0 and box.first[1] == 0 and box.shape[2] == 24
    middle = [n // 2 for n in box.shape]
    x, y, z = taper[:, 0, middle[2], 0], taper[middle[0], :, middle[2], 0], taper[middle[0], middle[1], :, 0]
    np.testing.assert_allclose(x[:4], [0, 1 / 3, 2 / 3, 1], atol=1e-6)
    np.testing.assert_allclose(x[::-1][:4], [0, 1 / 3, 2 / 3, 1], atol=1e-6)
    np.testing.assert_allclose(y[::-1][:4], [0, 1 / 3, 2 / 3, 1], atol=1e-6)
    assert y[0] == 1 and np.all(z == 1)
    assert taper[1, -2, 0, 0] == pytest.approx(1 / 9)
