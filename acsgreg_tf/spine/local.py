"""Displacements on large grids, changed at few places only."""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from acsgreg_tf import fields, metrics
from acsgreg_tf.fields.kernels import in_slabs, kernel
from acsgreg_tf.geometry.grid import FACE
from acsgreg_tf.metrics.folded import least_determinant
from acsgreg_tf.registration.fold_search import Cells
from acsgreg_tf.spine.places import corners_of, near_mask, near_voxels

__all__ = ["cells_near", "clear_of_folds", "folded_together", "passed", "smooth_at", "solve_inverse_at"]

# The taps of a Gaussian of 0.7 voxels, to two voxels on either side.
_TAPS = np.array(list(product(range(-2, 3), repeat=3)))
_WEIGHTS = np.exp(-(_TAPS**2).sum(axis=1) / (2 * 0.7**2))
_WEIGHTS /= _WEIGHTS.sum()
# Rounds of smoothing between two looks at all cells, and such looks.
ROUNDS, LOOKS = 12, 6
# Steps of Newton's method, each of a voxel at most, and by how much a solution may miss, voxels.
NEWTON_STEPS, TOLERANCE = 12, 1e-3
_EPSILON = 0.05


def smooth_at(field: np.ndarray, places: np.ndarray, reach: int) -> None:
    """Smooth a field (X, Y, Z, 3), in place, within `reach` voxels of some places (N, 3), and half as much beside."""
    shape = field.shape[:3]
    nodes = near_voxels(places, reach + 1, shape)
    inner = near_mask(places, reach, shape).ravel()[nodes]
    smooth = np.empty((len(nodes), 3))
    in_slabs(_smooth, len(nodes), field, nodes, inner, _TAPS, _WEIGHTS, smooth, least=512)
    field.reshape(-1, 3)[nodes] = smooth


@kernel
def _smooth(
    field: np.ndarray,
    nodes: np.ndarray,
    inner: np.ndarray,
    taps: np.ndarray,
    weights: np.ndarray,
    out: np.ndarray,
    start: int,
    stop: int,
) -> None:
    sx, sy, sz, _ = field.shape
    for n in range(start, stop):
        z, rest = nodes[n] % sz, nodes[n] // sz
        x, y = rest // sy, rest % sy
        a, b, c = 0.0, 0.0, 0.0
        for m in range(len(taps)):
            i, j, k = x + taps[m, 0], y + taps[m, 1], z + taps[m, 2]
            beside = field[min(max(i, 0), sx - 1), min(max(j, 0), sy - 1), min(max(k, 0), sz - 1)]
            a += weights[m] * beside[0]
            b += weights[m] * beside[1]
            c += weights[m] * beside[2]
        share = 1.0 if inner[n] else 0.5
        here = field[x, y, z]
        out[n, 0] = here[0] + share * (a - here[0])
        out[n, 1] = here[1] + share * (b - here[1])
        out[n, 2] = here[2] + share * (c - here[2])


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
            index = np.argwhere(metrics.folded_cells(field, clear + 0.1))
        else:
            index = folded_together([field], cells, clear + 0.1)
        suspects = Cells(index)
        places = suspects.folds(field, 1, clear)
        if not len(places):
            break
        for round_ in range(ROUNDS):
            smooth_at(field, places, 1 + look + round_ // 4)
            places = suspects.folds(field, 1, clear)
            if not len(places):
                break
    return field


def cells_near(places: np.ndarray, reach: int, shape: Sequence[int]) -> np.ndarray:
    """The cells (N, 3) of 2 x 2 x 2 voxels within `reach` voxels of some places (N, 3)."""
    cells = np.stack(np.unravel_index(near_voxels(places, reach, shape), shape), axis=-1)
    return cells[(cells < np.subtract(shape, 1)).all(axis=1)]


def passed(steps: Sequence[np.ndarray], places: np.ndarray) -> np.ndarray:
    """Places (N, 3), voxels, once they have passed all steps, (X, Y, Z, 3) each, voxels, the first applied first."""
    return fields.through(places, [(np.eye(3, 4), step) for step in steps], FACE)


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
    nodes, corners = corners_of(cells, shape)
    there = np.stack(np.unravel_index(nodes, shape), axis=-1).astype(float)
    there = passed(steps, there)
    there = there if then is None else then(there)
    there = there[corners].reshape(-1, 2, 2, 2, 3)
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
