"""Displacements on large grids, changed at few places only."""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from acsgreg_tf import fields, metrics
from acsgreg_tf.fields.kernels import in_slabs, kernel
from acsgreg_tf.metrics.folded import least_determinant
from acsgreg_tf.registration.folds import folds_of

__all__ = ["Spread", "cells_near", "clear_of_folds", "folded_together", "near_mask", "smooth_at", "solve_inverse_at"]

# The taps of a Gaussian of 0.7 voxels, to two voxels on either side.
_TAPS = np.array(list(product(range(-2, 3), repeat=3)))
_WEIGHTS = np.exp(-(_TAPS**2).sum(axis=1) / (2 * 0.7**2))
_WEIGHTS /= _WEIGHTS.sum()
# Rounds of smoothing between two looks at all cells, and such looks.
ROUNDS, LOOKS = 12, 6
# Steps of Newton's method, each of a voxel at most, and by how much a solution may miss, voxels.
NEWTON_STEPS, TOLERANCE = 12, 1e-3
_EPSILON = 0.05


class Spread:
    """From values at places to the eight voxels round each: weighted means, as in SIRT (Gilbert 1972).

    Args:
        places: (N, 3), voxels, inside the grid.
        shape: (X, Y, Z) of the grid.
    """

    def __init__(self, places: np.ndarray, shape: tuple[int, ...]) -> None:
        base = np.floor(places).astype(int)
        share = places - base
        corners = [np.ravel_multi_index(tuple((base + offset).T), shape) for offset in np.ndindex(2, 2, 2)]
        touched = np.zeros(int(np.prod(shape)), bool)
        for corner in corners:
            touched[corner] = True
        self.voxels = np.flatnonzero(touched)
        order = np.zeros(len(touched), np.int32)
        order[self.voxels] = np.arange(len(self.voxels))
        self.corners = [order[corner] for corner in corners]
        self.weights = [
            np.prod(np.where(offset, share, 1 - share), axis=1) for offset in map(np.array, np.ndindex(2, 2, 2))
        ]
        self.sums = np.maximum(self._summed(np.ones(len(places))), 0.3)

    def add(self, field: np.ndarray, values: np.ndarray, where: np.ndarray | None = None) -> None:
        """Add to a field (X, Y, Z, 3), in place, the means of values (N, 3).

        Args:
            field: As above.
            values: Of each place.
            where: (X, Y, Z) bool, the voxels that may change; None is all.
        """
        means = np.stack([self._summed(values[:, c]) / self.sums for c in range(3)], axis=-1)
        if where is not None:
            means *= where.ravel()[self.voxels, None]
        field.reshape(-1, 3)[self.voxels] += means

    def _summed(self, values: np.ndarray) -> np.ndarray:
        total = np.zeros(len(self.voxels))
        for at, weight in zip(self.corners, self.weights, strict=True):
            total += np.bincount(at, weight * values, minlength=len(total))
        return total


def near_mask(places: np.ndarray, reach: int, shape: Sequence[int]) -> np.ndarray:
    """The voxels within `reach` voxels of some places (N, 3), voxels: (X, Y, Z) bool.

    Args:
        places: Voxels, fractions allowed.
        reach: A whole number.
        shape: (X, Y, Z) of the grid.
    """
    near = np.zeros(shape, bool)
    index = np.rint(places).astype(int)
    near[tuple(index[((index >= 0) & (index < shape)).all(axis=1)].T)] = True
    index = np.argwhere(near)
    for offset in _ball(reach):
        beside = index + offset
        near[tuple(beside[((beside >= 0) & (beside < shape)).all(axis=1)].T)] = True
    return near


def _ball(reach: int) -> np.ndarray:
    offsets = np.array(list(product(range(-reach, reach + 1), repeat=3)))
    return offsets[(offsets**2).sum(axis=1) <= reach**2 + 1]


def smooth_at(field: np.ndarray, places: np.ndarray, reach: int) -> None:
    """Smooth a field (X, Y, Z, 3), in place, within `reach` voxels of some places (N, 3), and half as much beside."""
    shape = field.shape[:3]
    nodes = np.flatnonzero(near_mask(places, reach + 1, shape))
    inner = near_mask(places, reach, shape).ravel()[nodes]
    index = np.stack(np.unravel_index(nodes, shape), axis=-1)
    flat = field.reshape(-1, 3)
    smooth = np.zeros((len(nodes), 3))
    for tap, weight in zip(_TAPS, _WEIGHTS, strict=True):
        beside = np.clip(index + tap, 0, np.subtract(shape, 1))
        smooth += weight * flat[np.ravel_multi_index(tuple(beside.T), shape)]
    flat[nodes] += np.where(inner, 1.0, 0.5)[:, None] * (smooth - flat[nodes])


def clear_of_folds(field: np.ndarray, clear: float, cells: np.ndarray | None = None) -> np.ndarray:
    """A displacement, smoothed in place where a determinant is `clear` or less, at its voxels or between them.

    Args:
        field: (X, Y, Z, 3) float32, voxels.
        clear: What determinants must exceed.
        cells: (N, 3), the cells to look at; None looks at all.

    Returns:
        The same array.
    """
    for look in range(LOOKS):
        if cells is None:
            suspects = np.argwhere(metrics.folded_cells(field, clear + 0.1))
        else:
            suspects = folded_together([field], cells, clear + 0.1)
        places = folds_of(suspects, field, 1, clear)
        if not len(places):
            break
        for round_ in range(ROUNDS):
            smooth_at(field, places, 1 + look + round_ // 4)
            places = folds_of(suspects, field, 1, clear)
            if not len(places):
                break
    return field


def cells_near(places: np.ndarray, reach: int, shape: Sequence[int]) -> np.ndarray:
    """The cells (N, 3) of 2 x 2 x 2 voxels within `reach` voxels of some places (N, 3)."""
    cells = np.argwhere(near_mask(places, reach, shape))
    return cells[(cells < np.subtract(shape, 1)).all(axis=1)]


def folded_together(
    steps: Sequence[np.ndarray], cells: np.ndarray, clear: float, then: Callable[[np.ndarray], np.ndarray] | None = None
) -> np.ndarray:
    """Those of some cells (N, 3) in which a determinant is `clear` or less once they have passed all steps.

    Args:
        steps: (X, Y, Z, 3) each, voxels, the first applied first.
        cells: Of 2 x 2 x 2 voxels.
        clear: A determinant.
        then: From places (N, 3) after the steps, voxels, to where they go on to.
    """
    if not len(cells):
        return cells
    shape = steps[0].shape[:3]
    corners = [np.ravel_multi_index(tuple((cells + corner).T), shape) for corner in product((0, 1), repeat=3)]
    touched = np.zeros(int(np.prod(shape)), bool)
    for corner in corners:
        touched[corner] = True
    nodes = np.flatnonzero(touched)
    order = np.zeros(len(touched), np.int32)
    order[nodes] = np.arange(len(nodes))
    there = np.stack(np.unravel_index(nodes, shape), axis=-1).astype(float)
    for step in steps:
        there = there + fields.sample(step, there)
    there = there if then is None else then(there)
    there = there[order[np.stack(corners, axis=1)]].reshape(-1, 2, 2, 2, 3)
    folded = np.zeros(len(cells), bool)
    in_slabs(_fold, len(cells), there, clear, folded, least=1024)
    return cells[folded]


@kernel
def _fold(corners: np.ndarray, clear: float, folded: np.ndarray, start: int, stop: int) -> None:
    for n in range(start, stop):
        folded[n] = least_determinant(corners[n]) <= clear


def solve_inverse_at(inverse: np.ndarray, field: np.ndarray, nodes: np.ndarray) -> None:
    """Make an inverse exact at some of its voxels, in place, by Newton's method on the interpolated field.

    Args:
        inverse: (X, Y, Z, 3), voxels, near the inverse of x -> x + field(x).
        field: Likewise, without folds.
        nodes: Flat indices of voxels.
    """
    flat = inverse.reshape(-1, 3)
    to = np.stack(np.unravel_index(nodes, field.shape[:3]), axis=-1).astype(float)
    at = to + flat[nodes]
    miss = at + fields.sample(field, at) - to
    for _ in range(NEWTON_STEPS):
        open_ = np.flatnonzero(np.linalg.norm(miss, axis=1) > TOLERANCE)
        if not len(open_):
            break
        step = _newton_step(field, at[open_], miss[open_])
        # Of the whole step, a half and an eighth of it, what comes nearest.
        for share in (1.0, 0.5, 0.125):
            tried = at[open_] - share * step
            left = tried + fields.sample(field, tried) - to[open_]
            better = np.linalg.norm(left, axis=1) < np.linalg.norm(miss[open_], axis=1)
            at[open_[better]], miss[open_[better]] = tried[better], left[better]
            open_, step = open_[~better], step[~better]
            if not len(open_):
                break
    flat[nodes] = at - to


def _newton_step(field: np.ndarray, at: np.ndarray, miss: np.ndarray) -> np.ndarray:
    columns = []
    for axis in range(3):
        shift = np.zeros(3)
        shift[axis] = _EPSILON
        columns.append(
            (fields.sample(field, at + shift) - fields.sample(field, at - shift)) / (2 * _EPSILON) + np.eye(3)[axis]
        )
    slopes = np.stack(columns, axis=-1)
    sound = np.linalg.det(slopes) > 0.05
    slopes[~sound] = np.eye(3)
    step = np.linalg.solve(slopes, miss[..., None])[..., 0]
    return step * np.minimum(1, 1 / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-9))
