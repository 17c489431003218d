"""Composition and integration of displacements."""

import numpy as np

from acsgreg_tf.fields.kernels import in_slabs, kernel
from acsgreg_tf.fields.sampling import as_volume, at


@kernel
def _compose(outer: np.ndarray, inner: np.ndarray, out: np.ndarray, start: int, stop: int) -> None:
    for i in range(start, stop):
        for j in range(inner.shape[1]):
            for k in range(inner.shape[2]):
                u, v, w = inner[i, j, k, 0], inner[i, j, k, 1], inner[i, j, k, 2]
                if u == 0 and v == 0 and w == 0:  # most of a field that has faded out round a vertebra
                    for n in range(3):
                        out[i, j, k, n] = outer[i, j, k, n]
                    continue
                at(outer, i + u, j + v, k + w, out[i, j, k])
                for n in range(3):
                    out[i, j, k, n] += inner[i, j, k, n]


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The displacement of x -> outer(inner(x)): u = inner + outer(x + inner(x)); both [X, Y, Z, 3]."""
    inner = as_volume(inner)
    out = np.empty_like(inner)
    in_slabs(_compose, len(inner), as_volume(outer), inner, out)
    return out


@kernel
def _approach(part: np.ndarray, whole: np.ndarray, parts: int, out: np.ndarray, start: int, stop: int) -> None:
    step = np.empty(3, np.float32)
    for i in range(start, stop):
        for j in range(part.shape[1]):
            for k in range(part.shape[2]):
                x, y, z = part[i, j, k, 0], part[i, j, k, 1], part[i, j, k, 2]
                if x != 0 or y != 0 or z != 0:
                    for _ in range(parts - 1):
                        at(part, i + x, j + y, k + z, step)
                        x += step[0]
                        y += step[1]
                        z += step[2]
                out[i, j, k, 0] = part[i, j, k, 0] + (whole[i, j, k, 0] - x) / parts
                out[i, j, k, 1] = part[i, j, k, 1] + (whole[i, j, k, 1] - y) / parts
                out[i, j, k, 2] = part[i, j, k, 2] + (whole[i, j, k, 2] - z) / parts


def approach(part: np.ndarray, whole: np.ndarray, parts: int) -> np.ndarray:
    """A part of a displacement, corrected by its share of what all parts, one after the other, miss of the whole.

    Args:
        part: [X, Y, Z, 3].
        whole: [X, Y, Z, 3], what they shall make up.
        parts: How many these are.
    """
    part = as_volume(part)
    out = np.empty_like(part)
    in_slabs(_approach, len(part), part, as_volume(whole), parts, out)
    return out


def integrate(velocity: np.ndarray, steps: int = 7) -> np.ndarray:
    """exp(v) by scaling and squaring (Arsigny et al. 2006).

    Args:
        velocity: [X, Y, Z, 3], stationary, voxels.
        steps: Number of squarings; 0 returns the velocity itself.

    Returns:
        Displacement, same shape and unit. exp(-v) is `integrate(-velocity)`.
    """
    field = as_volume(velocity) / np.float32(2**steps)
    for _ in range(steps):
        field = compose(field, field)
    return field
