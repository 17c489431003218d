"""The surface seen along an axis: which side is seen, and how far the other surface lies from it."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from acsgreg_tf.registration.drawing import plane_views
from acsgreg_tf.registration.surface_view import draw_surface_distance, first_along, surface_distance_map

SHAPE, SPACING = (30, 26, 22), np.array([1.0, 1.0, 2.0])


def block(low, high):
    mask = np.zeros(SHAPE, bool)
    mask[tuple(map(slice, low, high))] = True
    return mask


def test_first_voxels_from_either_end():
    mask = block((5, 6, 7), (12, 14, 16))
    for axis, low, high in ((0, 5, 11), (1, 6, 13), (2, 7, 15)):
        for sign, expected in ((1, low), (-1, high)):
            index, hit = first_along(mask, axis, sign)
            assert set(index[hit]) == {expected} and set(index[~hit]) == {0}
            np.testing.assert_array_equal(hit, mask.any(axis=axis))


def test_distance_of_a_face_that_was_moved():
    fixed, moved = block((5, 6, 5), (25, 20, 15)), block((5, 6, 5), (25, 20, 16))
    distance = surface_distance_map(fixed, moved, SPACING)
    assert distance[15, 13, 14] == pytest.approx(2, abs=0.5)  # a voxel of 2 mm
    assert distance[15, 13, 5] == pytest.approx(0, abs=0.05)
    assert surface_distance_map(fixed, fixed, SPACING).max() == 0
    assert np.isinf(surface_distance_map(fixed, np.zeros(SHAPE, bool), SPACING)).all()


def test_room_beyond_the_labels_changes_nothing():
    fixed, moved = block((9, 9, 8), (20, 16, 14)), block((10, 9, 8), (21, 16, 12))
    room = ((4, 12), (10, 3), (0, 9))
    more = surface_distance_map(np.pad(fixed, room), np.pad(moved, room), SPACING)
    inner = more[4:-12, 10:-3, :-9]
    np.testing.assert_array_equal(inner, surface_distance_map(fixed, moved, SPACING))
    assert inner.max() > 0.5 and more.sum() == pytest.approx(inner.sum())


def test_each_plane_shows_its_own_side():
    """What is off at the bottom, on the left and in front is seen from there, and not what is off behind."""
    fixed = block((8, 8, 8), (20, 18, 16))
    views = plane_views([fixed.astype(np.float32)], fixed, np.ones(3))
    assert [view.name for view in views] == ["transversal", "sagittal", "coronal"]
    sides = {"transversal": (2, 8), "sagittal": (0, 8), "coronal": (1, 17)}  # below, left, front
    for view in views:
        axis, index = sides[view.name]
        far = np.zeros(SHAPE)
        far[tuple(index if a == axis else slice(None) for a in range(3))] = 2
        for distance, reddish in ((far, True), (2 - far, False)):
            ax = Figure().subplots()
            draw_surface_distance(ax, view, fixed, distance)
            picture = ax.images[0].get_array()
            middle = picture[tuple(n // 2 for n in view.cut(fixed).shape)]
            assert middle[3] == 1 and (middle[1] < 0.3) == reddish, view.name  # YlOrRd: yellow holds green
            assert picture[0, 0, 3] == 0  # nothing is drawn beside the bone
