"""Removal of folds: a velocity or a displacement is smoothed where it is not one-to-one."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from acsgreg_tf import metrics

if TYPE_CHECKING:
    from acsgreg_tf.registration.deformation import Deformation

# A determinant that is no larger counts as a fold, so that other grids find none either.
LEAST = 0.03
# Where the cells of the field's own grid have a determinant below this, it is looked at between its voxels too.
SUSPECT = 0.2
# Nodes of such a look at one cell, half a voxel apart, from half a voxel before it to half a voxel behind.
_NODES = np.stack(np.meshgrid(*[np.arange(-1, 4) / 2] * 3, indexing="ij"), axis=-1)
_CORNERS = np.stack(np.meshgrid(*[(0, 1)] * 3, indexing="ij"), axis=-1)


def without_folds(deformation: "Deformation", rounds: int = 40) -> "Deformation":
    """A deformation whose phi folds nowhere: the same object where it does not, else one with a smoother velocity.

    The velocity is smoothed at the `folds_of` phi, in a neighbourhood that grows from round to round.

    Args:
        deformation: The estimate.
        rounds: After so many the whole velocity is weakened too.
    """
    for i in itertools.count():
        places = folds_of(deformation.part, deformation.phi, deformation.parts)
        if not len(places):
            return deformation
        velocity = smoothed_near(deformation.velocity, deformation.on_lattice(places), reach=1 + i // 3)
        deformation = replace(deformation, velocity=0.8 * velocity if i >= rounds else velocity)
    raise AssertionError("unreachable")


def unfolded(
    part: np.ndarray, repeated: Callable[[np.ndarray], np.ndarray], parts: int, rounds: int = 40
) -> np.ndarray:
    """A part of a displacement, smoothed itself at the `folds_of` all parts together.

    Args:
        part: [X, Y, Z, 3], voxels.
        repeated: From a part to the displacement of all parts.
        parts: How many these are.
        rounds: After so many the whole part is weakened too.
    """
    for i in itertools.count():
        places = folds_of(part, repeated(part), parts)
        if not len(places):
            return part
        # What folds may do so in the first part or in the last.
        places = np.concatenate([places, places + sampled(part, places)])
        part = smoothed_near(part, places, reach=1 + i // 2) * (0.8 if i >= rounds else 1)
    raise AssertionError("unreachable")


def folds_of(part: np.ndarray, whole: np.ndarray, parts: int) -> np.ndarray:
    """Where a displacement folds, at its voxels or between them: places (N, 3), voxels.

    A fold is a cell in which one of the ten determinants of `metrics.non_diffeomorphic_volume` is `LEAST` or less: of
    the grid's own cells, of cells of half a voxel, and of whole cells that lie half a voxel beside the grid's.

    Args:
        part: [X, Y, Z, 3], voxels, interpolated linearly.
        whole: All parts one after the other, at the voxels.
        parts: How many.
    """
    box = _moving_box(whole)
    cells = np.argwhere(_steep_cells(whole[box])) + [side.start for side in box]
    corners = np.moveaxis(cells[:, None, None, None] + _CORNERS, -1, 0)
    least = metrics.least_determinants(np.moveaxis(whole[tuple(corners)], -1, 0) + corners)[:, 0, 0, 0]
    cells, least = cells[least < SUSPECT], least[least < SUSPECT]
    folded = least <= LEAST
    for first in range(0, len(cells), 2000):
        batch = slice(first, first + 2000)
        there = (cells[batch, None, None, None] + _NODES).reshape(-1, 3)
        for _ in range(parts):
            there = there + sampled(part, there)
        blocks = np.moveaxis(there.reshape(-1, *_NODES.shape), -1, 0)
        halves = metrics.least_determinants(blocks) <= LEAST * 0.5**3
        beside = metrics.least_determinants(blocks[:, :, ::2, ::2, ::2]) <= LEAST
        folded[batch] |= halves.any(axis=(1, 2, 3)) | beside.any(axis=(1, 2, 3))
    return cells[folded] + 0.5


def _moving_box(displacement: np.ndarray) -> tuple[slice, ...]:
    """The box outside which a displacement is next to nothing."""
    moving = np.abs(displacement).max(axis=-1) > 1e-3
    boxes = ndimage.find_objects(moving.astype(np.uint8))
    return boxes[0] if boxes else (slice(0, 0),) * 3


def _steep_cells(displacement: np.ndarray) -> np.ndarray:
    """The cells (X-1, Y-1, Z-1) whose determinants may be below `SUSPECT`: det(1 + E) >= (1 - |E|)^3."""
    total: np.ndarray | float = 0.0
    for axis in range(3):
        step = np.diff(displacement, axis=axis)
        squares = np.einsum("...c,...c", step, step)
        for other in (a for a in range(3) if a != axis):
            along = np.moveaxis(squares, other, 0)
            squares = np.moveaxis(np.maximum(along[1:], along[:-1]), 0, other)
        total = total + squares
    return np.asarray(total >= (1 - SUSPECT ** (1 / 3)) ** 2)


def sampled(field: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A field [X, Y, Z, 3], interpolated linearly at places (N, 3), voxels: (N, 3)."""
    components = [ndimage.map_coordinates(c, places.T, order=1, mode="nearest") for c in np.moveaxis(field, -1, 0)]
    return np.stack(components, axis=-1)


def smoothed_near(field: np.ndarray, places: np.ndarray, reach: int) -> np.ndarray:
    """A field [x, y, z, 3], smoothed within `reach` voxels of some places (N, 3), voxels."""
    near = np.zeros(field.shape[:3], bool)
    near[tuple(np.clip(np.rint(places), 0, np.subtract(field.shape[:3], 1)).astype(int).T)] = True
    near = ndimage.binary_dilation(near, iterations=reach)
    weight = ndimage.gaussian_filter(near.astype("float32"), 1.0)[..., None]
    smooth = ndimage.gaussian_filter(field, (0.7, 0.7, 0.7, 0), mode="nearest")
    return (field + weight * (smooth - field)).astype("float32")
