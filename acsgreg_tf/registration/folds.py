"""Removal of folds: a velocity is smoothed where its exponential is not one-to-one."""

import itertools
from dataclasses import replace

import numpy as np
from scipy import ndimage

from acsgreg_tf import metrics
from acsgreg_tf.registration.deformation import Deformation


def without_folds(deformation: Deformation, rounds: int = 40) -> Deformation:
    """A deformation whose phi folds nowhere: the same object where it does not, else one with a smoother velocity.

    A fold is a cell in which one of the ten determinants of `metrics.non_diffeomorphic_volume` is not positive. The
    velocity is smoothed there, in a neighbourhood that grows from round to round.

    Args:
        deformation: the estimate.
        rounds: after so many the whole velocity is weakened too.
    """
    for i in itertools.count():
        folded = metrics.folded_cells(deformation.phi)
        if not folded.any():
            return deformation
        velocity = _smoothed(deformation.velocity, folded, deformation.shape, reach=2 + i // 2)
        deformation = replace(deformation, velocity=0.8 * velocity if i >= rounds else velocity)
    raise AssertionError("unreachable")


def _smoothed(velocity: np.ndarray, folded: np.ndarray, shape: tuple[int, ...], reach: int) -> np.ndarray:
    """The velocity [x, y, z, 3], smoothed within `reach` of its voxels that are nearest to folded cells."""
    step = [(f - 1) / (n - 1) for f, n in zip(shape, velocity.shape[:3], strict=True)]
    near = np.zeros(velocity.shape[:3], bool)
    near[tuple(np.rint(np.argwhere(folded) / step).astype(int).T)] = True
    near = ndimage.binary_dilation(near, iterations=reach)
    weight = ndimage.gaussian_filter(near.astype("float32"), 1.0)[..., None]
    smooth = ndimage.gaussian_filter(velocity, (0.7, 0.7, 0.7, 0), mode="nearest")
    return velocity + weight * (smooth - velocity)
