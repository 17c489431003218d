"""Removal of folds: a velocity or a displacement is smoothed where it is not one-to-one."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from acsgreg_tf import fields, metrics
from acsgreg_tf.fields.kernels import in_slabs, kernel
from acsgreg_tf.fields.sampling import at
from acsgreg_tf.metrics.folded import least_determinant

if TYPE_CHECKING:
    from acsgreg_tf.registration.deformation import Deformation

# A determinant that is no larger counts as a fold, so that other grids find none either.
LEAST = 0.03
# The inverse is sampled through the inverse affine, in cells of other shapes.
LEAST_INVERSE = 0.05
# Where the cells of the field's own grid have a determinant below this, it is looked at between its voxels too.
SUSPECT = 0.15
# Voxels by which neighbours move against each other in one part, below which two parts cannot fold: their edges then
# change by less than (1 + 0.25)^2 - 1 < 1 / sqrt(3).
BENT = 0.25
# Rounds of smoothing that look at the suspects only, before all cells are looked at again.
LOCAL_ROUNDS = 6
# Voxels on either side that count in smoothing.
_FILTER = 3
# Nodes an axis of such a look at one cell.
_NODES = 5


def without_folds(deformation: "Deformation", rounds: int = 10) -> "Deformation":
    """A deformation whose phi folds nowhere: the same object where it does not, else one with a smoother velocity.

    The velocity is smoothed at the `folds_of` phi, in a neighbourhood that grows from round to round; the half cells of
    all `bent_cells` are looked at in the end.

    Args:
        deformation: The estimate.
        rounds: After so many the whole velocity is weakened too.
    """
    for i in itertools.count():
        suspects = np.argwhere(metrics.folded_cells(deformation.phi, SUSPECT))
        places = folds_of(suspects, deformation.part, deformation.parts)
        if not len(places):
            # Where one part bends within a cell of the other, half a cell can fold though the whole one is sound.
            suspects = bent_cells(deformation.part)
            places = folds_of(suspects, deformation.part, deformation.parts, halves=True)
        if not len(places):
            return deformation
        for j in range(LOCAL_ROUNDS):
            velocity = smoothed_near(deformation.velocity, deformation.on_lattice(places), reach=1 + (i + j) // 2)
            deformation = replace(deformation, velocity=0.8 * velocity if i >= rounds else velocity)
            places = folds_of(near_to(suspects, places), deformation.part, deformation.parts)
            if not len(places):
                break
    raise AssertionError("unreachable")


def unfolded(
    part: np.ndarray, repeated: Callable[[np.ndarray], np.ndarray], parts: int, rounds: int = 10
) -> np.ndarray:
    """A part of a displacement, smoothed itself at the `folds_of` all parts together.

    Args:
        part: [X, Y, Z, 3], voxels.
        repeated: From a part to the displacement of all parts.
        parts: How many these are.
        rounds: After so many the whole part is weakened too.
    """
    for i in itertools.count():
        suspects = np.argwhere(metrics.folded_cells(repeated(part), SUSPECT))
        places = folds_of(suspects, part, parts, LEAST_INVERSE)
        if not len(places):
            return part
        for j in range(LOCAL_ROUNDS):
            # What folds may do so in the first part or in the last.
            both = np.concatenate([places, places + fields.sample(part, places)])
            part = smoothed_near(part, both, reach=2 + i + j) * (0.8 if i >= rounds else 1)
            places = folds_of(near_to(suspects, places), part, parts, LEAST_INVERSE)
            if not len(places):
                break
    raise AssertionError("unreachable")


def bent_cells(part: np.ndarray) -> np.ndarray:
    """The cells (N, 3) that a part, or the part after it, changes by `BENT` or more.

    Args:
        part: [X, Y, Z, 3], voxels.
    """
    bent = np.zeros(part.shape[:3], bool)
    for axis in range(3):
        step = np.diff(part, axis=axis)
        large = np.einsum("...i,...i", step, step) >= BENT**2
        ends = [(slice(None),) * axis + (end,) for end in (slice(None, -1), slice(1, None))]
        for end in ends:
            bent[end] |= large
    bent = ndimage.binary_dilation(bent, np.ones((3, 3, 3), bool))
    there = np.rint(part + np.indices(bent.shape, dtype=np.float32).transpose(1, 2, 3, 0)).astype(np.int32)
    there = np.clip(there, 0, np.subtract(bent.shape, 1))
    return np.argwhere((bent | bent[tuple(np.moveaxis(there, -1, 0))])[:-1, :-1, :-1])


def near_to(cells: np.ndarray, places: np.ndarray, reach: float = 4.0) -> np.ndarray:
    """Those of some cells (N, 3) that lie within `reach` voxels of places (M, 3)."""
    return cells[KDTree(places).query(cells + 0.5, distance_upper_bound=reach)[0] <= reach]


def folds_of(
    suspects: np.ndarray, part: np.ndarray, parts: int, clear: float = LEAST, halves: bool = False
) -> np.ndarray:
    """Where a displacement folds at its voxels or between them: places (N, 3), voxels.

    A fold is a cell in which one of the ten determinants is `clear` or less: of the grid's own cells, of cells of half
    a voxel, and of whole cells that lie half a voxel beside the grid's.

    Args:
        suspects: The cells (N, 3) to look at.
        part: [X, Y, Z, 3], voxels, interpolated linearly.
        parts: How many of it, one after the other, make up the displacement.
        clear: By how much determinants must stay clear of 0.
        halves: Look at the half cells within each alone, which takes a quarter of the time.
    """
    folded = np.zeros(len(suspects), bool)
    arguments = np.ascontiguousarray(suspects), part, parts, clear, halves, folded
    in_slabs(_fold_between, len(suspects), *arguments, least=64)
    return suspects[folded] + 0.5


@kernel
def _fold_between(
    cells: np.ndarray,
    part: np.ndarray,
    parts: int,
    clear: float,
    halves: bool,
    folded: np.ndarray,
    start: int,
    stop: int,
) -> None:
    # Nodes half a voxel apart: those of the cell, or from half a voxel before it to half a voxel behind it.
    nodes, step = np.empty((_NODES, _NODES, _NODES, 3)), np.empty(3, np.float32)
    first, count = (0, 3) if halves else (1, _NODES)
    for n in range(start, stop):
        for i in range(count):
            for j in range(count):
                for k in range(count):
                    there = nodes[i, j, k]
                    there[0] = cells[n, 0] + (i - first) / 2
                    there[1] = cells[n, 1] + (j - first) / 2
                    there[2] = cells[n, 2] + (k - first) / 2
                    for _ in range(parts):
                        at(part, there[0], there[1], there[2], step)
                        for axis in range(3):
                            there[axis] += step[axis]
        if halves:
            folded[n] = _any_fold(nodes, 0, 2, clear / 8, 1)
        else:
            whole = _any_fold(nodes, 1, 1, clear, 2) or _any_fold(nodes, 0, 2, clear, 2)
            folded[n] = whole or _any_fold(nodes, 0, 4, clear / 8, 1)


@kernel
def _any_fold(nodes: np.ndarray, first: int, count: int, clear: float, stride: int) -> bool:
    """Whether one of count^3 cells, `stride` nodes wide and from node `first` on, has a determinant up to `clear`."""
    corners = np.empty((2, 2, 2, 3))
    for i in range(count):
        for j in range(count):
            for k in range(count):
                for a in range(2):
                    for b in range(2):
                        for c in range(2):
                            x, y, z = first + stride * (i + a), first + stride * (j + b), first + stride * (k + c)
                            for n in range(3):
                                corners[a, b, c, n] = nodes[x, y, z, n]
                if least_determinant(corners) <= clear:
                    return True
    return False


def smoothed_near(field: np.ndarray, places: np.ndarray, reach: int) -> np.ndarray:
    """A field [x, y, z, 3], smoothed within `reach` voxels of some places (N, 3), voxels, and fading for two more."""
    index = np.clip(np.rint(places), 0, np.subtract(field.shape[:3], 1)).astype(int)
    start = np.maximum(index.min(axis=0) - reach - 2 - _FILTER, 0)
    box = tuple(slice(low, high) for low, high in zip(start, index.max(axis=0) + reach + 3 + _FILTER, strict=True))
    part = field[box]
    near = np.zeros(part.shape[:3], bool)
    near[tuple((index - start).T)] = True
    near = ndimage.binary_dilation(near, iterations=reach)
    weight = ndimage.gaussian_filter(near.astype("float32"), 1.0, truncate=2)[..., None]
    smooth = ndimage.gaussian_filter(part, (0.7, 0.7, 0.7, 0), mode="nearest", radius=(_FILTER,) * 3 + (0,))
    result = field.astype("float32")
    result[box] = part + weight * (smooth - part)
    return result
