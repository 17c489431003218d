"""Resizing along axes: the networks' resize as judge, places in a window, and the adjoint."""

import numpy as np
import pytest

from acsgreg_tf import fields
from acsgreg_tf.ops import fields as tensor_fields
from tests.helpers import noise

OLD = (5, 4, 3)


@pytest.mark.parametrize("new", [(9, 7, 5), (3, 8, 3), (5, 4, 3), (1, 2, 6)])
def test_resizing_is_that_of_networks(new):
    values = noise((*OLD, 2))
    places = [fields.spread_over(old, side) for old, side in zip(OLD, new, strict=True)]
    np.testing.assert_allclose(
        fields.resize(values, places), np.array(tensor_fields.resize(values[None], new))[0], atol=1e-5
    )


def test_places_may_be_a_window_and_end_at_the_border():
    values = np.moveaxis(np.indices(OLD), 0, -1).astype("float32")
    places = [np.array([1.5, 2.25]), np.array([-1.0, 0.5, 7.0]), np.array([2.0])]
    expected = np.stack(np.meshgrid([1.5, 2.25], [0, 0.5, 3], [2], indexing="ij"), axis=-1)
    np.testing.assert_allclose(fields.resize(values, places), expected, atol=1e-6)


def test_without_places_nothing_changes():
    values = noise((*OLD, 3))
    np.testing.assert_array_equal(fields.resize(values, ()), values)
    np.testing.assert_array_equal(fields.resize_adjoint(values, (), OLD), values)


@pytest.mark.parametrize("old", [OLD, (1, 6, 2)])
def test_the_adjoint_is_the_transposed(old):
    places = [np.random.default_rng(1).uniform(-0.5, side, 2 * side) for side in old]
    values = noise((*old, 3))
    upstream = noise((*(len(p) for p in places), 3), seed=2)
    there = np.vdot(fields.resize(values, places), upstream)
    assert np.vdot(values, fields.resize_adjoint(upstream, places, old)) == pytest.approx(there, rel=1e-4)
