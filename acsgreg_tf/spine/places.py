"""Voxels near places, and values spread from places to voxels: compiled, in time that goes with the places alone."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from acsgreg_tf.fields.kernels import kernel

__all__ = ["Spread", "corners_of", "near_mask", "near_voxels"]


class Spread:
    """From values at places to the eight voxels round each: weighted means, as in SIRT (Gilbert 1972).

    Args:
        places: (N, 3), voxels, inside the grid.
        shape: (X, Y, Z) of the grid.
    """

    def __init__(self, places: np.ndarray, shape: tuple[int, ...]) -> None:
        self.places = np.ascontiguousarray(places, float)
        self.voxels, self.corners = corners_of(self.places, shape)
        self.shape = tuple(shape)
        ones = np.ones((len(self.places), 1))
        self.sums = np.maximum(self._summed(ones), 0.3)

    def add(self, field: np.ndarray, values: np.ndarray, where: np.ndarray | None = None) -> None:
        """Add to a field (X, Y, Z, 3), in place, the means of values (N, 3).

        Args:
            field: As above.
            values: Of each place.
            where: (X, Y, Z) bool, the voxels that may change; None is all.
        """
        means = self._summed(np.ascontiguousarray(values, float)) / self.sums
        if where is not None:
            means *= where.ravel()[self.voxels, None]
        field.reshape(-1, 3)[self.voxels] += means

    def _summed(self, values: np.ndarray) -> np.ndarray:
        total = np.zeros((len(self.voxels), values.shape[1]))
        _add_up(self.places, self.corners, values, self.shape, total)
        return total


@kernel
def _cell(places: np.ndarray, n: int, shape: tuple) -> tuple:
    """The first voxel of the cell that a place lies in: the last cell for a place on the last voxel."""
    x = min(max(int(places[n, 0]), 0), shape[0] - 2)
    y = min(max(int(places[n, 1]), 0), shape[1] - 2)
    z = min(max(int(places[n, 2]), 0), shape[2] - 2)
    return x, y, z


@kernel
def _add_up(places: np.ndarray, corners: np.ndarray, values: np.ndarray, shape: tuple, total: np.ndarray) -> None:
    for n in range(len(places)):
        x, y, z = _cell(places, n, shape)
        fx, fy, fz = places[n, 0] - x, places[n, 1] - y, places[n, 2] - z
        for corner in range(8):
            weight = fx if corner & 4 else 1 - fx
            weight *= fy if corner & 2 else 1 - fy
            weight *= fz if corner & 1 else 1 - fz
            for channel in range(values.shape[1]):
                total[corners[n, corner], channel] += weight * values[n, channel]


def corners_of(places: np.ndarray, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The voxels that are corners of the cells that places lie in.

    Args:
        places: (N, 3), voxels, inside the grid.
        shape: (X, Y, Z) of the grid.

    Returns:
        (voxels, corners): flat indices of all of them (M,), each once, and which of these are each place's eight
        corners, (N, 8), the last axis changing first.
    """
    order = np.zeros(int(np.prod(shape)), np.int32)
    voxels, corners = np.empty(min(8 * len(places), len(order)), np.int64), np.empty((len(places), 8), np.int32)
    count = _find_corners(np.ascontiguousarray(places, float), tuple(shape), order, voxels, corners)
    return voxels[:count], corners


@kernel
def _find_corners(places: np.ndarray, shape: tuple, order: np.ndarray, voxels: np.ndarray, corners: np.ndarray) -> int:
    count = 0
    for n in range(len(places)):
        x, y, z = _cell(places, n, shape)
        for corner in range(8):
            flat = ((x + (corner >> 2)) * shape[1] + y + ((corner >> 1) & 1)) * shape[2] + z + (corner & 1)
            if order[flat] == 0:
                voxels[count] = flat
                count += 1
                order[flat] = count
            corners[n, corner] = order[flat] - 1
    return count


def near_mask(places: np.ndarray, reach: int, shape: Sequence[int]) -> np.ndarray:
    """The voxels within `reach` voxels of some places (N, 3), voxels: (X, Y, Z) bool.

    Args:
        places: Voxels, fractions allowed.
        reach: A whole number.
        shape: (X, Y, Z) of the grid.
    """
    return _near(places, reach, shape)[0]


def near_voxels(places: np.ndarray, reach: int, shape: Sequence[int]) -> np.ndarray:
    """The flat indices (M,) of the voxels of `near_mask`, in no order."""
    return _near(places, reach, shape)[1]


def _near(places: np.ndarray, reach: int, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.array(list(product(range(-reach, reach + 1), repeat=3)))
    offsets = offsets[(offsets**2).sum(axis=1) <= reach**2 + 1]
    near, seeds = np.zeros(shape, bool), np.zeros(shape, bool)
    voxels = np.empty(min(len(places) * len(offsets), near.size), np.int64)
    count = _mark(np.rint(places).astype(np.int64), offsets, seeds, near, voxels)
    return near, voxels[:count]


@kernel
def _mark(index: np.ndarray, offsets: np.ndarray, seeds: np.ndarray, near: np.ndarray, voxels: np.ndarray) -> int:
    count, (sx, sy, sz) = 0, near.shape
    for n in range(len(index)):
        x, y, z = index[n, 0], index[n, 1], index[n, 2]
        if not (0 <= x < sx and 0 <= y < sy and 0 <= z < sz) or seeds[x, y, z]:
            continue
        seeds[x, y, z] = True
        for m in range(len(offsets)):
            i, j, k = x + offsets[m, 0], y + offsets[m, 1], z + offsets[m, 2]
            if 0 <= i < sx and 0 <= j < sy and 0 <= k < sz and not near[i, j, k]:
                near[i, j, k] = True
                voxels[count] = (i * sy + j) * sz + k
                count += 1
    return count
