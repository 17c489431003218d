"""Overlap of two label volumes."""

import numpy as np
from numpy.typing import ArrayLike

from acsgreg_tf.geometry.boxes import bounding_box
from acsgreg_tf.metrics.checks import check_labels


def dice(fixed: ArrayLike, moved: ArrayLike) -> float:
    """Dice coefficient 2 |F and W| / (|F| + |W|) (paper, Eq. 8; Dice, Ecology 1945).

    Args:
        fixed: (X, Y, Z) target label, nonzero is the object.
        moved: (X, Y, Z) moving label after warping.

    Returns:
        float in [0, 1]; NaN if both labels are empty, 0 if one is.

    Raises:
        InputError: The shapes differ, or a label holds fractional values.
    """
    overlap, size_fixed, size_moved = _overlap(fixed, moved)
    return _ratio(2 * overlap, size_fixed + size_moved, size_fixed + size_moved)


def precision(fixed: ArrayLike, moved: ArrayLike) -> float:
    """Precision |F and W| / |W|: the part of the warped label that is right.

    The paper's PREC; van Rijsbergen, Information Retrieval, 1979.

    Args:
        fixed: (X, Y, Z) target label, nonzero is the object.
        moved: (X, Y, Z) moving label after warping.

    Returns:
        float in [0, 1]; NaN if both labels are empty, 0 if one is.

    Raises:
        InputError: As `dice`.
    """
    overlap, size_fixed, size_moved = _overlap(fixed, moved)
    return _ratio(overlap, size_moved, size_fixed + size_moved)


def recall(fixed: ArrayLike, moved: ArrayLike) -> float:
    """Recall |F and W| / |F|: the part of the fixed label that is covered.

    The paper's REC; van Rijsbergen, Information Retrieval, 1979.

    Args:
        fixed: (X, Y, Z) target label, nonzero is the object.
        moved: (X, Y, Z) moving label after warping.

    Returns:
        float in [0, 1]; NaN if both labels are empty, 0 if one is.

    Raises:
        InputError: As `dice`.
    """
    overlap, size_fixed, size_moved = _overlap(fixed, moved)
    return _ratio(overlap, size_fixed, size_fixed + size_moved)


def _overlap(fixed: ArrayLike, moved: ArrayLike) -> tuple[int, int, int]:
    fixed, moved = check_labels(fixed, moved)
    box = bounding_box(fixed)  # whole scans may lie in memory in different orders, which makes `&` slow
    return int(np.count_nonzero(fixed[box] & moved[box])), int(np.count_nonzero(fixed)), int(np.count_nonzero(moved))


def _ratio(part: float, whole: float, total: float) -> float:
    if total == 0:
        return float("nan")
    return float(part / whole) if whole else 0.0
