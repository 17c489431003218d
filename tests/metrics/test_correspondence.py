"""Landmark errors and inverse consistency by known answers."""

import numpy as np
import pytest

from acsgreg_tf import metrics
from acsgreg_tf.errors import InputError
from tests.metrics.cases import linear_field


def test_target_registration_error():
    a = np.array([[0.0, 0, 0], [1, 2, 3]])
    assert np.allclose(metrics.target_registration_error(a, a + [[3, 4, 0], [0, 0, -2]]), [5, 2])
    assert metrics.target_registration_error(np.empty((0, 3)), np.empty((0, 3))).shape == (0,)
    for b in (a[:1], a[:, :2]):
        with pytest.raises(InputError, match="points"):
            metrics.target_registration_error(a, b)


def test_inverse_consistency_of_translations():
    ones = np.ones((8, 8, 8, 3))
    spacing = (1, 1, 2)
    perfect = metrics.inverse_consistency_error(ones, -ones, spacing=spacing)
    assert np.allclose(perfect, (0, 0))
    off = metrics.inverse_consistency_error(ones, -ones + [0, 0.3, 0.2], spacing=spacing)
    assert np.allclose(off, (0.5, 0.5))  # hypot(0.3, 0.2 * 2)
    gone = metrics.inverse_consistency_error(ones * 20, -ones, spacing=spacing)
    assert np.isnan(gone.mean) and np.isnan(gone.maximum)


def test_inverse_consistency_samples_the_second_field_at_the_mapped_point():
    matrix = np.array([[1.02, 0.03, 0.0], [-0.02, 0.97, 0.01], [0.0, 0.02, 1.01]])
    forward, backward = linear_field(matrix, (9, 9, 9)), linear_field(np.linalg.inv(matrix), (9, 9, 9))
    assert metrics.inverse_consistency_error(forward, backward, spacing=(1, 1, 1)).maximum < 1e-9
    assert metrics.inverse_consistency_error(forward, -forward, spacing=(1, 1, 1)).maximum > 1e-3
    mask = np.zeros((9, 9, 9))
    mask[0, 0, 0] = 1  # the fixed point of a linear map
    assert metrics.inverse_consistency_error(forward, -forward, spacing=(1, 1, 1), mask=mask).maximum < 1e-12
