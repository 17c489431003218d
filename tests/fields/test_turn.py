"""Vectors in another frame: numpy's own product as judge."""

import numpy as np
import pytest

from acsgreg_tf import fields
from tests.helpers import SMALL, noise


@pytest.mark.parametrize("kind", ["float32", "float64", "int16"])
def test_vectors_are_multiplied_by_the_matrix(kind):
    vectors = (10 * noise((*SMALL, 3))).astype(kind)
    matrix = np.random.default_rng(0).normal(size=(3, 3))
    turned = fields.turn(vectors, matrix)
    assert turned.dtype == np.float32 and turned.shape == vectors.shape
    np.testing.assert_allclose(turned, vectors.astype(float) @ matrix.T, atol=1e-4)
