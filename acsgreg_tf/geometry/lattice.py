"""Smooth things on coarse lattices, cheaply: linear interpolation axis by axis, and noise."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage


def along_axis(values: np.ndarray, at: np.ndarray, axis: int) -> np.ndarray:
    """`values` interpolated linearly at positions `at` (N,) along one axis; constant beyond its ends."""
    at = np.clip(at, 0, values.shape[axis] - 1)
    low = np.clip(at.astype(int), 0, max(values.shape[axis] - 2, 0))
    high = np.minimum(low + 1, values.shape[axis] - 1)
    weight = (at - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    before = values.take(low, axis)
    return before + weight * (values.take(high, axis) - before)


def on_lattice(fields: np.ndarray, axes: Sequence[ArrayLike]) -> np.ndarray:
    """`fields` (C, x, y, z) interpolated linearly to (C, X, Y, Z), where three lists of positions meet."""
    for axis, at in enumerate(axes, start=1):
        fields = along_axis(fields, np.asarray(at), axis)
    return fields


def sample(fields: np.ndarray, at: np.ndarray) -> np.ndarray:
    """`fields` (C, x, y, z) interpolated linearly at points `at` (3, ...): (C, ...) float32."""
    return np.stack([ndimage.map_coordinates(f, at, output=np.float32, order=1, mode="nearest") for f in fields])


def coarse_shape(shape: Sequence[int], step: int) -> tuple[int, ...]:
    """Shape of the lattice with one point every `step` voxels that covers `shape` voxels."""
    return tuple(-(-(n - 1) // step) + 1 for n in shape)


def smooth_noise(rng: np.random.Generator, shape: Sequence[int], smoothness: float, step: int = 1) -> np.ndarray:
    """Gaussian noise (X, Y, Z) of mean 0 and standard deviation 1, smooth over `smoothness` voxels.

    Args:
        rng: The generator that is advanced.
        shape: (X, Y, Z).
        smoothness: Standard deviation of the Gaussian, voxels.
        step: Voxels between the points of the lattice on which it is drawn; between them it is interpolated linearly.
    """
    noise = rng.standard_normal(coarse_shape(shape, step), np.float32)
    noise = ndimage.gaussian_filter(noise, smoothness / step, mode="wrap")
    noise /= noise.std() + 1e-9
    return on_lattice(noise[None], [np.arange(n) / step for n in shape])[0] if step > 1 else noise
