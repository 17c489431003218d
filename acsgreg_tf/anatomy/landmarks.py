"""Landmarks of two vertebrae, and how far a transform misses them."""

import os

import numpy as np

from acsgreg_tf import metrics
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.transforms import Transform
from acsgreg_tf.io.points import read_points

__all__ = ["landmark_errors", "read_landmarks"]


def read_landmarks(fixed: str | os.PathLike, moving: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Read the same landmarks of two scans, in the same order (.mrk.json, .fcsv or CSV).

    Returns:
        (fixed, moving), each (N, 3), RAS mm.

    Raises:
        InputError: A file cannot be read, or the two hold different numbers of points.
    """
    points = [read_points(path).points for path in (fixed, moving)]
    if len(points[0]) != len(points[1]):
        raise InputError(f"{moving}: holds {len(points[1])} landmarks, and {fixed} holds {len(points[0])}")
    return points[0], points[1]


def landmark_errors(fixed: np.ndarray, moving: np.ndarray, transform: Transform) -> np.ndarray:
    """Target registration errors, mm (N,): how far the transform takes a fixed landmark from the moving one.

    They are taken in the moving scan's frame, since a transform's file has no inverse of its own.

    Args:
        fixed: (N, 3) RAS mm.
        moving: (N, 3) RAS mm, in the same order.
        transform: Fixed RAS mm -> moving RAS mm.
    """
    return metrics.target_registration_error(transform.apply(fixed), moving)
