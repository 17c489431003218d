"""Label maps sampled at points, against each value's own mask sampled as an image."""

import numpy as np
import pytest

from acsgreg_tf import fields
from acsgreg_tf.geometry.grid import FACE


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_value_is_where_its_mask_exceeds_a_half(kind, order):
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 4, (4, 4, 4))
    label = np.asarray(coarse.repeat(3, 0).repeat(3, 1).repeat(3, 2), dtype=kind, order=order)
    points = rng.uniform(-2, 13, (40, 50, 3))
    matrix = np.array([[1.0, 0.1, 0, 0.2], [0, 0.9, 0, 0], [0.1, 0, 1.0, 0]])
    wanted = np.zeros(points.shape[:2], kind)
    for value in (1, 2, 3):
        wanted[fields.look_up((label == value).astype(np.float32), points, matrix, FACE, 0.0) > 0.5] = value
    found = fields.look_up_label(label, points, matrix, FACE)
    assert found.dtype == kind
    np.testing.assert_array_equal(found, wanted)
    assert set(np.unique(found)) == {0, 1, 2, 3}


def test_values_below_zero_are_background():
    label = np.full((3, 3, 3), -2, np.int16)
    assert not fields.look_up_label(label, np.ones((2, 3)), np.eye(3, 4), FACE).any()
