"""Removal of folds: a velocity or a displacement is smoothed where it is not one-to-one."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from acsgreg_tf import metrics

if TYPE_CHECKING:
    from acsgreg_tf.registration.deformation import Deformation

# A determinant that is no larger counts as a fold, so that other grids find none either.
LEAST = 0.03
# The inverse is sampled through the inverse affine, in cells of other shapes.
LEAST_INVERSE = 0.05
# Where the cells of the field's own grid have a determinant below this, it is looked at between its voxels too.
SUSPECT = 0.15
# Rounds of smoothing that look at the suspects only, before all cells are looked at again.
LOCAL_ROUNDS = 6
# Voxels on either side that count in smoothing.
_FILTER = 3
# Nodes of such a look at one cell, half a voxel apart, from half a voxel before it to half a voxel behind.
_NODES = np.stack(np.meshgrid(*[np.arange(-1, 4) / 2] * 3, indexing="ij"), axis=-1)


def without_folds(deformation: "Deformation", rounds: int = 10) -> "Deformation":
    """A deformation whose phi folds nowhere: the same object where it does not, else one with a smoother velocity.

    The velocity is smoothed at the `folds_of` phi, in a neighbourhood that grows from round to round.

    Args:
        deformation: The estimate.
        rounds: After so many the whole velocity is weakened too.
    """
    for i in itertools.count():
        suspects = np.argwhere(metrics.folded_cells(deformation.phi, SUSPECT))
        places = folds_of(suspects, deformation.part, deformation.parts)
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
            both = np.concatenate([places, places + sampled(part, places)])
            part = smoothed_near(part, both, reach=2 + i + j) * (0.8 if i >= rounds else 1)
            places = folds_of(near_to(suspects, places), part, parts, LEAST_INVERSE)
            if not len(places):
                break
    raise AssertionError("unreachable")


def near_to(cells: np.ndarray, places: np.ndarray, reach: float = 4.0) -> np.ndarray:
    """Those of some cells (N, 3) that lie within `reach` voxels of places (M, 3)."""
    return cells[KDTree(places).query(cells + 0.5, distance_upper_bound=reach)[0] <= reach]


def folds_of(suspects: np.ndarray, part: np.ndarray, parts: int, clear: float = LEAST) -> np.ndarray:
    """Where a displacement folds at its voxels or between them: places (N, 3), voxels.

    A fold is a cell in which one of the ten determinants is `clear` or less: of the grid's own cells, of cells of half
    a voxel, and of whole cells that lie half a voxel beside the grid's.

    Args:
        suspects: The cells (N, 3) to look at.
        part: [X, Y, Z, 3], voxels, interpolated linearly.
        parts: How many of it, one after the other, make up the displacement.
        clear: By how much determinants must stay clear of 0.
    """
    folded = [np.empty((0, 3))]
    for first in range(0, len(suspects), 2000):
        cells = suspects[first : first + 2000]
        there = (cells[:, None, None, None] + _NODES).reshape(-1, 3)
        for _ in range(parts):
            there = there + sampled(part, there)
        nodes = np.moveaxis(there.reshape(-1, *_NODES.shape), -1, 0)
        own, beside = (nodes[:, :, a:b:2, a:b:2, a:b:2] for a, b in ((1, 4), (0, 5)))
        kinds = ((nodes, clear * 0.5**3), (own, clear), (beside, clear))
        small = [(metrics.least_determinants(points) <= least).any(axis=(1, 2, 3)) for points, least in kinds]
        folded.append(cells[np.any(small, axis=0)] + 0.5)
    return np.concatenate(folded)


def sampled(field: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A field [X, Y, Z, 3], interpolated linearly at places (N, 3), voxels: (N, 3)."""
    components = [ndimage.map_coordinates(c, places.T, order=1, mode="nearest") for c in np.moveaxis(field, -1, 0)]
    return np.stack(components, axis=-1)


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
