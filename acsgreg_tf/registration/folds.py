"""Removal of folds: a velocity or a displacement is smoothed where it is not one-to-one."""

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from acsgreg_tf import metrics

if TYPE_CHECKING:
    from acsgreg_tf.registration.deformation import Deformation

# Sampled between its voxels, a field mixes the determinants of neighbours, so they must stay clear of 0.
LEAST = 0.05


def without_folds(deformation: "Deformation", rounds: int = 40) -> "Deformation":
    """A deformation whose phi folds nowhere: the same object where it does not, else one with a smoother velocity.

    A fold is a cell in which one of the ten determinants of `metrics.non_diffeomorphic_volume` is LEAST or less. The
    velocity is smoothed there, in a neighbourhood that grows from round to round.

    Args:
        deformation: The estimate.
        rounds: After so many the whole velocity is weakened too.
    """
    for i in itertools.count():
        folded = np.argwhere(metrics.folded_cells(deformation.phi, LEAST))
        if not len(folded):
            return deformation
        places = (folded - deformation.padding) / deformation.step + deformation.margin
        velocity = _smoothed(deformation.velocity, places, reach=2 + i // 2)
        deformation = replace(deformation, velocity=0.8 * velocity if i >= rounds else velocity)
    raise AssertionError("unreachable")


def unfolded(displacement: np.ndarray, rounds: int = 40) -> np.ndarray:
    """A displacement [X, Y, Z, 3], voxels, smoothed itself where it folds, as `without_folds` says."""
    for i in itertools.count():
        folded = np.argwhere(metrics.folded_cells(displacement, LEAST))
        if not len(folded):
            return displacement
        displacement = _smoothed(displacement, folded + 0.5, reach=1 + i // 2) * (0.8 if i >= rounds else 1)
    raise AssertionError("unreachable")


def _smoothed(field: np.ndarray, places: np.ndarray, reach: int) -> np.ndarray:
    """A field [x, y, z, 3], smoothed within `reach` voxels of some places (N, 3), voxels."""
    near = np.zeros(field.shape[:3], bool)
    near[tuple(np.clip(np.rint(places), 0, np.subtract(field.shape[:3], 1)).astype(int).T)] = True
    near = ndimage.binary_dilation(near, iterations=reach)
    weight = ndimage.gaussian_filter(near.astype("float32"), 1.0)[..., None]
    smooth = ndimage.gaussian_filter(field, (0.7, 0.7, 0.7, 0), mode="nearest")
    return (field + weight * (smooth - field)).astype("float32")
