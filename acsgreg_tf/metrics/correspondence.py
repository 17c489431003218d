"""Distances between points that should coincide: landmarks, and a transform against its inverse."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from acsgreg_tf.errors import InputError
from acsgreg_tf.metrics.checks import check_mask, check_spacing
from acsgreg_tf.metrics.jacobian import mapped_points


class InverseConsistency(NamedTuple):
    """Inverse-consistency error in mm over the voxels that could be measured."""

    mean: float
    maximum: float


def target_registration_error(points_a: ArrayLike, points_b: ArrayLike) -> np.ndarray:
    """Distances between corresponding points, mm (Fitzpatrick and West, IEEE TMI 2001).

    Args:
        points_a: (N, 3) in mm, such as fixed landmarks after the transform.
        points_b: (N, 3) in mm in the same world frame, such as the moving landmarks.

    Returns:
        (N,) float64, one distance a point, for the caller to average; empty for no points.

    Raises:
        InputError: The shapes differ or are not (N, 3).
    """
    points_a, points_b = np.asarray(points_a, np.float64), np.asarray(points_b, np.float64)
    if points_a.shape != points_b.shape or points_a.ndim != 2 or points_a.shape[1] != 3:
        raise InputError(f"points: shapes {points_a.shape} and {points_b.shape} are not one shape (N, 3)")
    return np.linalg.norm(points_a - points_b, axis=1)


def inverse_consistency_error(
    forward: ArrayLike, backward: ArrayLike, *, spacing: ArrayLike, mask: ArrayLike | None = None
) -> InverseConsistency:
    """How far the backward transform misses the point from which the forward one started, mm.

    |u(x) + w(x + u(x))| for forward x + u(x) and backward y + w(y), w sampled linearly (Christensen and
    Johnson, IEEE TMI 2001). A point that leaves the grid cannot be measured and is left out.

    Args:
        forward: (X, Y, Z, 3) in voxels.
        backward: (X, Y, Z, 3) in voxels of the same grid.
        spacing: Size of a voxel in mm, three numbers.
        mask: Optional (X, Y, Z) volume; only its nonzero voxels are measured.

    Returns:
        `InverseConsistency` (mean, maximum) in mm; both NaN if no point could be measured.

    Raises:
        InputError: The shapes differ, values are not finite, or the spacing is not three positive numbers.
    """
    spacing = check_spacing(spacing)
    phi = mapped_points(forward, least=1)
    back = mapped_points(backward, least=1)  # y + w(y); sampling that linearly samples w and is exact on y
    if phi.shape != back.shape:
        raise InputError(f"forward, backward: shapes {np.shape(forward)} and {np.shape(backward)} differ")
    shape = phi.shape[1:]
    start = np.indices(shape, np.float64)
    last = np.subtract(shape, 1)[:, None, None, None]
    measured = ((phi >= 0) & (phi <= last)).all(0)
    if mask is not None:
        measured &= check_mask(mask, shape)
    if not measured.any():
        return InverseConsistency(float("nan"), float("nan"))
    there = phi[:, measured]
    returned = np.stack([ndimage.map_coordinates(component, there, order=1, mode="nearest") for component in back])
    error = np.linalg.norm((returned - start[:, measured]) * spacing[:, None], axis=0)
    return InverseConsistency(float(error.mean()), float(error.max()))
