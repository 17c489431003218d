"""Linear resampling of a volume [X, Y, Z, C] along its axes, and the adjoint that gradients need."""

from collections.abc import Sequence

import numpy as np

from acsgreg_tf.fields.kernels import in_slabs, kernel
from acsgreg_tf.fields.sampling import as_volume


@kernel
def _along(values: np.ndarray, first: np.ndarray, share: np.ndarray, out: np.ndarray, start: int, stop: int) -> None:
    """Rows `start` to `stop` of out [before, new, after], counted over both axes, from values [before, old, after]."""
    step = 1 if values.shape[1] > 1 else 0
    for row in range(start, stop):
        i, j = row // out.shape[1], row % out.shape[1]
        low, high, share_high = first[j], first[j] + step, share[j]
        share_low = np.float32(1) - share_high
        for k in range(out.shape[2]):
            out[i, j, k] = share_low * values[i, low, k] + share_high * values[i, high, k]


@kernel
def _along_adjoint(
    upstream: np.ndarray, first: np.ndarray, share: np.ndarray, out: np.ndarray, start: int, stop: int
) -> None:
    """The adjoint of `_along` for the outer indices `start` to `stop`, added to out [before, old, after]."""
    step = 1 if out.shape[1] > 1 else 0
    for i in range(start, stop):
        for j in range(upstream.shape[1]):
            low, high, share_high = first[j], first[j] + step, share[j]
            share_low = np.float32(1) - share_high
            for k in range(upstream.shape[2]):
                out[i, low, k] += share_low * upstream[i, j, k]
            for k in range(upstream.shape[2]):
                out[i, high, k] += share_high * upstream[i, j, k]


def _cells(places: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """(first voxel, share of the next one) of places on an axis; those outside are moved to its ends."""
    places = np.clip(np.asarray(places, float), 0, side - 1)
    first = np.minimum(places.astype(np.int64), max(side - 2, 0))
    return first, (places - first).astype(np.float32)


def spread_over(old: int, new: int) -> np.ndarray:
    """Places (new,) on an axis of `old` voxels, such that the first and last voxels of both grids coincide."""
    return np.linspace(0.0, old - 1.0, new)


def resize(values: np.ndarray, places: Sequence[np.ndarray]) -> np.ndarray:
    """A volume [x, y, z, C] sampled linearly where its axes' places cross, voxels: [X, Y, Z, C] float32.

    Args:
        values: [x, y, z, C].
        places: One array of places an axis, such as `spread_over`; none at all leave the volume as it is.
    """
    values = as_volume(values)
    # The last axis first: the volume is small as long as it can be.
    for axis, along in reversed(list(enumerate(places))):
        first, share = _cells(along, values.shape[axis])
        sides = (*values.shape[:axis], len(first), *values.shape[axis + 1 :])
        rows = int(np.prod(sides[:axis], initial=1))
        out = np.empty((rows, len(first), int(np.prod(sides[axis + 1 :]))), np.float32)
        in_slabs(_along, rows * len(first), values.reshape(rows, values.shape[axis], -1), first, share, out)
        values = out.reshape(sides)
    return values


def resize_adjoint(upstream: np.ndarray, places: Sequence[np.ndarray], shape: Sequence[int]) -> np.ndarray:
    """The gradient of `resize` by its values.

    Args:
        upstream: [X, Y, Z, C], the gradient by the result.
        places: As in `resize`.
        shape: (x, y, z).

    Returns:
        [x, y, z, C] float32.
    """
    values = as_volume(upstream)
    for axis, along in enumerate(places):
        first, share = _cells(along, shape[axis])
        sides = (*values.shape[:axis], shape[axis], *values.shape[axis + 1 :])
        rows = int(np.prod(sides[:axis], initial=1))
        out = np.zeros((rows, shape[axis], int(np.prod(sides[axis + 1 :]))), np.float32)
        in_slabs(_along_adjoint, rows, values.reshape(rows, len(first), -1), first, share, out, least=1)
        values = out.reshape(sides)
    return values
