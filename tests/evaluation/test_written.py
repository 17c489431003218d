"""Folds of a transform beyond the vertebra's box."""

import numpy as np
import pytest

from acsgreg_tf.evaluation.written import lattice_beyond, written_folds
from acsgreg_tf.geometry import Affine, Composite, DenseField, network_grid

BOX = network_grid((3.5, -20, 100), (12, 10, 8))


def test_the_lattice_reaches_past_the_box_and_its_points_are_the_boxs():
    grid = lattice_beyond(BOX, beyond=5)
    assert grid.shape == (22, 20, 18)
    np.testing.assert_allclose(grid.index_to_points((5, 5, 5)), BOX.index_to_points((0, 0, 0)))
    assert lattice_beyond(BOX, 0.5, 5).shape == (43, 39, 35)


def test_an_affine_folds_nowhere_and_a_mirror_everywhere():
    assert written_folds(Affine(np.diag([0.9, 1.2, 1.1, 1])), BOX, beyond=5) == (0, 0)
    assert written_folds(Affine(np.diag([-1, 1, 1, 1.0])), BOX, beyond=5).percent == 100


def test_a_field_that_ends_at_the_box_tears_there():
    """Constant inside, so without folds on its own grid; beyond it there is nothing, a jump of 3 mm."""
    field = DenseField(np.full((*BOX.shape, 3), (3.0, 0, 0), np.float32), BOX)
    torn = written_folds(Composite([field, Affine(np.eye(4))]), BOX, beyond=5)
    assert torn.count > 0 and torn.percent == pytest.approx(100 * torn.count / (21 * 19 * 17))
