"""The kinds of linear maps [N, N+1]: rigid, similarity and affine; the nearest of a kind, and its directions."""

from collections.abc import Callable

import numpy as np

# A turn about each axis: the derivative of a rotation matrix by its angle, at no turn.
_TURNS = np.array(
    [[[0, 0, 0], [0, 0, -1], [0, 1, 0]], [[0, 0, 1], [0, 0, 0], [-1, 0, 0]], [[0, -1, 0], [1, 0, 0], [0, 0, 0]]]
)


def nearest_of_kind(affine: np.ndarray, kind: str) -> np.ndarray:
    """The map of a kind that is nearest to an affine [3, 4] (polar decomposition), float64; it does not mirror.

    Args:
        affine: [3, 4].
        kind: A key of `KINDS`.
    """
    affine = np.array(affine, float)
    if kind == "affine":
        return affine
    left, stretch, right = np.linalg.svd(affine[:, :3])
    stretch[-1] *= np.sign(np.linalg.det(left @ right))
    left[:, -1] *= np.sign(np.linalg.det(left @ right))
    affine[:, :3] = left @ right * (stretch.mean() if kind == "similarity" else 1.0)
    return affine


def _rigid(affine: np.ndarray) -> np.ndarray:
    directions = np.zeros((6, 3, 4))
    directions[:3, :, :3] = _TURNS @ affine[:, :3]
    directions[3:, :, 3] = np.eye(3)
    return directions.reshape(6, 12).T


def _similarity(affine: np.ndarray) -> np.ndarray:
    growth = np.c_[affine[:, :3], np.zeros(3)].reshape(12, 1)
    return np.concatenate([_rigid(affine), growth], axis=1)


def _affine(affine: np.ndarray) -> np.ndarray:
    return np.eye(12)


# The directions in which a map of each kind can go from where it is: [3, 4] -> (12, number of its parameters).
KINDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"rigid": _rigid, "similarity": _similarity, "affine": _affine}
