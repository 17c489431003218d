"""AffineMatrix: starts at the identity, and what its twelve numbers mean."""

import numpy as np
import pytest

from acsgreg_tf.layers import AffineMatrix
from acsgreg_tf.ops.affine import to_displacement
from tests.helpers import noise
from tests.keras_cases import check_layer

SHAPE = (9, 7, 5)


def matrix_of(numbers, shape=SHAPE):
    layer = AffineMatrix(shape)
    layer.build((None, 1))
    layer.dense.set_weights([np.zeros((1, len(numbers)), "float32"), np.float32(numbers)])
    return np.array(layer(np.ones((1, 1), "float32")))


def test_it_is_a_good_layer():
    check_layer(lambda: AffineMatrix(SHAPE, initial_scale=0.1), noise((2, 6)), field=True)


@pytest.mark.parametrize("features", [10, 1000])
def test_it_starts_near_the_identity_however_many_features_there_are(features):
    offsets = np.array(AffineMatrix(SHAPE, initial_scale=0.01)(noise((64, features)))) - np.eye(3, 4)
    assert offsets[:, :, :3].std() == pytest.approx(0.01, rel=0.3)


def test_without_scale_it_starts_at_the_identity():
    result = np.array(AffineMatrix(SHAPE, initial_scale=0.0)(noise((2, 50))))
    np.testing.assert_array_equal(result, np.broadcast_to(np.eye(3, 4), result.shape))


def test_no_offsets_are_the_identity_in_2d_and_3d():
    np.testing.assert_array_equal(matrix_of([0.0] * 12)[0], np.eye(3, 4))
    np.testing.assert_array_equal(matrix_of([0.0] * 6, SHAPE[:2])[0], np.eye(2, 3))


@pytest.mark.parametrize("axis, half", [(0, 4), (1, 3), (2, 2)])
def test_translations_are_in_half_sides(axis, half):
    numbers = np.zeros((3, 4))
    numbers[axis, 3] = 0.5
    expected = np.eye(3, 4)
    expected[axis, 3] = 0.5 * half
    np.testing.assert_allclose(matrix_of(numbers.ravel())[0], expected)


def test_a_translation_and_a_stretch_move_the_border_alike():
    reach = []
    for column in (0, 3):
        numbers = np.zeros((3, 4))
        numbers[0, column] = 0.1
        reach.append(np.abs(np.array(to_displacement(matrix_of(numbers.ravel()), SHAPE))).max())
    assert reach[0] == pytest.approx(reach[1], rel=1e-5)
