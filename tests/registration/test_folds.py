"""Removal of folds from a velocity: it always ends, and changes nothing that is far from a fold."""

import numpy as np
import pytest

from acsgreg_tf import metrics
from acsgreg_tf.evaluation.written import written_folds
from acsgreg_tf.geometry import network_grid
from acsgreg_tf.registration.deformation import Deformation
from acsgreg_tf.registration.fold_search import Cells
from acsgreg_tf.registration.folds import without_folds
from acsgreg_tf.registration.margin import with_margin
from tests.helpers import noise
from tests.registration.cases import TURNED
from tests.registration.refine.cases import IDENTITY, LATTICE, SHAPE, known


@pytest.mark.parametrize("kind", ["noise", "a patch of noise", "far too strong"])
def test_folds_are_smoothed_out_of_any_velocity(kind):
    velocity, rounds = noise((*LATTICE, 3), 1.5), {}
    if kind == "a patch of noise":
        velocity = np.zeros((*LATTICE, 3), "float32")
        velocity[4:7, 5:8, 3:6] = noise((3, 3, 3, 3), 4.0)
    if kind == "far too strong":  # with two rounds of smoothing only, the rest has to be weakened
        velocity, rounds = 20 * velocity, {"rounds": 2}
    folding = Deformation(IDENTITY, velocity, SHAPE)
    assert metrics.folded_cells(folding.phi).any()
    smooth = without_folds(folding, **rounds)
    assert not metrics.folded_cells(smooth.phi).any() and metrics.folds(smooth.phi).count == 0
    np.testing.assert_array_equal(smooth.affine, IDENTITY)
    if kind == "a patch of noise":
        np.testing.assert_array_equal(smooth.velocity[0], velocity[0])


@pytest.mark.parametrize(("strength", "seed"), [(1.5, 3), (3.0, 0), (3.0, 1), (6.0, 0)])
def test_two_parts_fold_no_half_cell_anywhere(strength, seed):
    """Whole cells far from folding hid such half cells."""
    folding = Deformation(IDENTITY, noise((*LATTICE, 3), strength, seed), SHAPE)
    smooth = without_folds(with_margin(folding, np.ones(SHAPE, bool)))
    everywhere = np.argwhere(np.ones(np.subtract(smooth.phi.shape[:3], 1), bool))
    assert smooth.parts == 2 and not len(Cells(everywhere, halves=True).folds(smooth.part, 2, 0.0))


def test_a_velocity_without_folds_is_left_alone():
    deformation = Deformation(IDENTITY, known()[0], SHAPE)
    assert without_folds(deformation) is deformation


@pytest.mark.parametrize("seed", range(3))
def test_the_written_inverse_folds_on_neither_lattice(seed):
    """An affine that turns and shears the grid: what is sound on its cells may fold on the moving box's."""
    deformation = with_margin(Deformation(TURNED, noise((*LATTICE, 3), 3.0, seed), SHAPE), np.ones(SHAPE, bool))
    deformation = without_folds(deformation)
    boxes = network_grid((0, 0, 0), SHAPE), network_grid((5, 3, -2), SHAPE)
    inverse = deformation.world_transform(*boxes).inverse()
    for spacing in (1.0, 0.5):
        assert written_folds(inverse, boxes[1], spacing).count == 0
