"""Boxes of voxels: known ones, and scipy's."""

import numpy as np
import pytest
from scipy.ndimage import find_objects

from acsgreg_tf.geometry.boxes import bounding_box, ends, grown


def test_the_box_of_two_voxels():
    mask = np.zeros((5, 6, 7), bool)
    mask[1, 4, 2] = mask[3, 4, 0] = True
    assert bounding_box(mask) == (slice(1, 4), slice(4, 5), slice(0, 3))


def test_nothing_has_a_box_without_voxels():
    mask = np.zeros((3, 4), bool)
    assert bounding_box(mask) == (slice(0, 0), slice(0, 0)) and not mask[bounding_box(mask)].size


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("order", "CF")
def test_it_is_scipys_box(seed, order):
    mask = np.asarray(np.random.default_rng(seed).random((9, 8, 7)) > 0.99, order=order)
    assert bounding_box(mask) == find_objects(mask.astype(np.uint8))[0]


def test_a_grown_box_ends_where_the_shape_does():
    box = grown((slice(1, 3), slice(4, 6)), (9, 6), 2)
    assert box == (slice(0, 5), slice(2, 6)) and ends(box) == ([0, 2], [5, 6])
