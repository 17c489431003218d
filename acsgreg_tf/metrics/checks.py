"""Checks that the measures share."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from acsgreg_tf.errors import InputError


def check_labels(fixed: ArrayLike, moved: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Two labels (X, Y, Z) of one shape as masks; InputError for other shapes or fractional values."""
    fixed, moved = (_check_label(name, label) for name, label in (("fixed", fixed), ("moved", moved)))
    if fixed.shape != moved.shape:
        raise InputError(f"labels: shapes {fixed.shape} and {moved.shape} differ")
    return fixed, moved


def _check_label(name: str, label: ArrayLike) -> np.ndarray:
    label = np.asarray(label)
    if label.ndim != 3:
        raise InputError(f"{name} label: shape {label.shape} is not (X, Y, Z)")
    if label.dtype.kind == "f" and (label != np.rint(label)).any():
        raise InputError(f"{name} label: holds fractional values; threshold it first (linear interpolation: at 0.5)")
    return label if label.dtype == bool else label != 0


def check_mask(mask: ArrayLike, shape: Sequence[int]) -> np.ndarray:
    """A mask of the given shape as bool; InputError for another shape."""
    mask = np.asarray(mask)
    if mask.shape != tuple(shape):
        raise InputError(f"mask: shape {mask.shape} is not the displacement's {tuple(shape)}")
    return mask != 0


def check_spacing(spacing: ArrayLike) -> np.ndarray:
    """Sizes of a voxel in mm, (3,) float64; InputError unless they are three positive numbers."""
    spacing = np.asarray(spacing, np.float64)
    if spacing.shape != (3,) or not (np.isfinite(spacing) & (spacing > 0)).all():
        raise InputError(f"spacing: {spacing.tolist()} is not three positive numbers (mm)")
    return spacing
