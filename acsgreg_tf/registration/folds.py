"""Removal of folds: a velocity or a displacement is smoothed where it is not one-to-one."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from acsgreg_tf import fields, metrics
from acsgreg_tf.registration.fold_search import Cells, bent_cells, cells_over

if TYPE_CHECKING:
    from acsgreg_tf.registration.deformation import Deformation

# As `fold_search.LEAST`, of the inverse, which is sampled on lattices that an affine turns.
LEAST_INVERSE = 0.05
# Where the cells of the field's own grid have a determinant below this, it is looked at between its voxels too.
SUSPECT = 0.15
# Rounds of smoothing that look at the suspects only, before all cells are looked at again.
LOCAL_ROUNDS = 6
# Voxels on either side that count in smoothing.
_FILTER = 3


def without_folds(deformation: "Deformation", rounds: int = 10, thorough: bool = True) -> "Deformation":
    """A deformation whose phi folds nowhere: the same object where it does not, else one with a smoother velocity.

    The velocity is smoothed at the folds of phi, in a neighbourhood that grows from round to round; the half cells of
    all `bent_cells` are looked at in the end.

    Args:
        deformation: The estimate.
        rounds: After so many the whole velocity is weakened too.
        thorough: Look at all bent cells; else only where whole cells fold or nearly do.
    """
    looked_at = None
    for i in itertools.count():
        cells = Cells(np.argwhere(metrics.folded_cells(deformation.phi, SUSPECT)))
        places = cells.folds(deformation.part, deformation.parts)
        if not len(places) and thorough:
            # Where one part bends within a cell of the other, half a cell can fold though the whole one is sound.
            cells = Cells(bent_cells(deformation.part), halves=True).affected(looked_at, deformation.part)
            looked_at = deformation.part
            places = cells.folds(deformation.part, deformation.parts)
        if not len(places):
            return deformation
        for j in range(LOCAL_ROUNDS):
            velocity = smoothed_near(deformation.velocity, deformation.on_lattice(places), reach=1 + (i + j) // 2)
            deformation = replace(deformation, velocity=0.8 * velocity if i >= rounds else velocity)
            cells = cells.near(places)
            places = cells.folds(deformation.part, deformation.parts)
            if not len(places):
                break
    raise AssertionError("unreachable")


def unfolded(
    part: np.ndarray,
    repeated: Callable[[np.ndarray], np.ndarray],
    parts: int,
    lattice: np.ndarray | None = None,
    rounds: int = 10,
) -> np.ndarray:
    """A part of a displacement, smoothed itself at the folds of all parts together.

    Args:
        part: [X, Y, Z, 3], voxels.
        repeated: From a part to the displacement of all parts.
        parts: How many these are.
        lattice: (3, 4), from voxels of the part to those of another lattice, on which it may not fold either.
        rounds: After so many the whole part is weakened too.
    """
    looked_at = None
    for i in itertools.count():
        cells = Cells(np.argwhere(metrics.folded_cells(repeated(part), SUSPECT)))
        places = cells.folds(part, parts, LEAST_INVERSE)
        if not len(places) and lattice is not None:
            cells = Cells(cells_over(bent_cells(part), lattice), True, lattice).affected(looked_at, part)
            looked_at = part
            places = cells.folds(part, parts, LEAST_INVERSE)
        if not len(places):
            return part
        for j in range(LOCAL_ROUNDS):
            # What folds may do so in the first part or in the last.
            both = np.concatenate([places, places + fields.sample(part, places)])
            part = smoothed_near(part, both, reach=2 + i + j) * (0.8 if i >= rounds else 1)
            cells = cells.near(places)
            places = cells.folds(part, parts, LEAST_INVERSE)
            if not len(places):
                break
    raise AssertionError("unreachable")


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
