"""Overlap of two label volumes."""

import numpy as np

from acsgreg_tf.metrics.checks import check_labels


def dice(fixed, moved):
    """Dice coefficient 2 |F and W| / (|F| + |W|) (paper, Eq. 8; Dice, Ecology 1945).

    Args:
        fixed, moved: (X, Y, Z) labels, nonzero is the object.

    Returns:
        float in [0, 1]; NaN if both labels are empty, 0 if one is.

    Raises:
        InputError: the shapes differ, or a label holds fractional values.
    """
    overlap, size_fixed, size_moved = _overlap(fixed, moved)
    return _ratio(2 * overlap, size_fixed + size_moved, size_fixed + size_moved)


def precision(fixed, moved):
    """Precision |F and W| / |W|: the part of the warped label that is right (the paper's PREC; van Rijsbergen,
    Information Retrieval, 1979).

    Args, Raises: as `dice`. Returns a float in [0, 1]; NaN if both labels are empty, 0 if one is.
    """
    overlap, size_fixed, size_moved = _overlap(fixed, moved)
    return _ratio(overlap, size_moved, size_fixed + size_moved)


def recall(fixed, moved):
    """Recall |F and W| / |F|: the part of the fixed label that was found (the paper's REC; van Rijsbergen,
    Information Retrieval, 1979).

    Args, Raises: as `dice`. Returns a float in [0, 1]; NaN if both labels are empty, 0 if one is.
    """
    overlap, size_fixed, size_moved = _overlap(fixed, moved)
    return _ratio(overlap, size_fixed, size_fixed + size_moved)


def _overlap(fixed, moved):
    fixed, moved = check_labels(fixed, moved)
    return np.count_nonzero(fixed & moved), np.count_nonzero(fixed), np.count_nonzero(moved)


def _ratio(part, whole, total):
    if total == 0:
        return float("nan")
    return float(part / whole) if whole else 0.0
