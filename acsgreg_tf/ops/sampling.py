"""Sampling of a batch of volumes at voxel coordinates: the one interpolator of the package.

Coordinates are voxels ('ij' order), a volume is [B, X, Y, Z, C] (or any number of spatial axes). Outside the volume the
nearest edge voxel is taken, or `fill_value` if it is not None. The arithmetic is that of neurite's `interpn`.
"""

import itertools
import math
from collections.abc import Sequence

from keras import ops

from acsgreg_tf.ops import Tensor
from acsgreg_tf.ops.backend import compiled, with_gradient


def _corners(rank: int) -> list[tuple[int, ...]]:
    return list(itertools.product((0, 1), repeat=rank))


def _cell(locations: Tensor, shape: Sequence[int]) -> tuple[list[Tensor], list[Tensor]]:
    """The cell that holds each point: its first voxel (int, an axis at a time) and the place in it (0 to 1)."""
    first, place = [], []
    for axis, side in enumerate(shape):
        inside = ops.clip(locations[..., axis], 0.0, float(side - 1))
        # The far edge belongs to the last cell, so that every cell has an upper neighbour.
        lower = ops.clip(ops.floor(ops.stop_gradient(inside)), 0.0, float(max(side - 2, 0)))
        # A NaN casts to an arbitrary integer: clipped to the volume, it returns NaN rather than crashing.
        first.append(ops.clip(ops.cast(lower, "int32"), 0, max(side - 2, 0)))
        place.append(inside - lower)
    return first, place


def _flat_index(index: Sequence[Tensor], shape: Sequence[int], batch_axis: Sequence[int]) -> Tensor:
    """Index into the volumes of all samples laid end to end."""
    flat = index[0]
    for i, side in zip(index[1:], shape[1:], strict=True):
        flat = flat * side + i
    samples = ops.arange(ops.shape(flat)[0], dtype="int32") * math.prod(shape)
    return flat + ops.reshape(samples, batch_axis)


def _weight(place: Sequence[Tensor], corner: Sequence[int]) -> Tensor:
    weight: Tensor = 1.0
    for along, bit in zip(place, corner, strict=True):
        weight = weight * (along if bit else 1.0 - along)
    return weight


def _steps(shape: Sequence[int]) -> list[int]:
    """Flat distance to the next voxel along each axis (none along an axis of one voxel)."""
    return [math.prod(shape[axis + 1 :]) if side > 1 else 0 for axis, side in enumerate(shape)]


def _offset(corner: Sequence[int], shape: Sequence[int]) -> int:
    return sum(bit * step for bit, step in zip(corner, _steps(shape), strict=True))


def _locate(volume: Tensor, locations: Tensor) -> tuple[tuple[int, ...], Tensor, list[Tensor], Tensor]:
    """The volume's shape, the flat index of each point's cell, the place in it, and the volume as rows of channels."""
    shape = tuple(volume.shape[1:-1])
    first, place = _cell(locations, shape)
    index = _flat_index(first, shape, (-1,) + (1,) * (len(locations.shape) - 2))
    return shape, index, place, ops.reshape(volume, (-1, volume.shape[-1]))


def _outside(locations: Tensor, shape: Sequence[int]) -> Tensor:
    outside: Tensor = False
    for axis, side in enumerate(shape):
        along = locations[..., axis]
        outside = ops.logical_or(outside, ops.logical_or(along < 0.0, along > float(side - 1)))
    return outside[..., None]


def _filled(result: Tensor, locations: Tensor, shape: Sequence[int], fill_value: float | None) -> Tensor:
    if fill_value is None:
        return result
    return ops.where(_outside(locations, shape), ops.cast(fill_value, result.dtype), result)


def linear(volume: Tensor, locations: Tensor, *, fill_value: float | None) -> Tensor:
    """Sample linearly, for use inside compiled functions; `sample` checks, converts and compiles.

    Args:
        volume: [B, X, Y, Z, C], float32.
        locations: [B, ..., N], voxels, float32.
        fill_value: Value outside; None takes the nearest edge voxel.

    Returns:
        [B, ..., C].
    """
    shape, index, place, flat = _locate(volume, locations)
    result: Tensor = 0.0
    for corner in _corners(len(shape)):
        value = ops.take(flat, index + _offset(corner, shape), axis=0)
        result = result + _weight(place, corner)[..., None] * value
    return _filled(result, locations, shape, fill_value)


def _sum_of_channels(values: Tensor) -> Tensor:
    """Sum of the last axis; a short one written out, which XLA takes ten times longer to reduce under JAX."""
    channels = values.shape[-1]
    return ops.sum(values, axis=-1) if channels > 4 else sum(values[..., i] for i in range(channels))


def linear_gradient_by_location(
    volume: Tensor, locations: Tensor, upstream: Tensor, *, fill_value: float | None
) -> tuple[None, Tensor]:
    """Gradient of `linear` by the locations alone: (None, [B, ..., N]) for upstream [B, ..., C]."""
    shape, index, place, flat = _locate(volume, locations)
    if fill_value is not None:
        upstream = ops.where(_outside(locations, shape), 0.0, upstream)
    slopes: list[Tensor] = [0.0] * len(shape)
    for corner in _corners(len(shape)):
        along = _sum_of_channels(ops.take(flat, index + _offset(corner, shape), axis=0) * upstream)
        for axis, bit in enumerate(corner):
            others = _weight(place[:axis] + place[axis + 1 :], corner[:axis] + corner[axis + 1 :])
            slopes[axis] = slopes[axis] + (along if bit else -along) * others
    for axis, side in enumerate(shape):  # a clamped coordinate does not move its sample
        along = locations[..., axis]
        free = ops.logical_and(along >= 0.0, along <= float(side - 1))
        slopes[axis] = ops.where(free, slopes[axis], 0.0)
    return None, ops.stack(slopes, axis=-1)


def _shift_up(values: Tensor, distance: int) -> Tensor:
    """Move rows of a flat array `distance` places on; what leaves at the end has weight 0."""
    if not distance:
        return values
    return ops.pad(values[:-distance], ((distance, 0), (0, 0)))


def linear_gradient_by_volume(
    volume: Tensor, locations: Tensor, upstream: Tensor, *, fill_value: float | None
) -> tuple[Tensor, None]:
    """Gradient of `linear` by the volume alone: ([B, X, Y, Z, C], None) for upstream [B, ..., C].

    Neighbours along the last axis travel as one row, so that half as many rows are scattered, which is what costs.
    """
    shape, index, place, flat = _locate(volume, locations)
    channels, row_index = volume.shape[-1], ops.reshape(index, (-1,))
    if fill_value is not None:
        upstream = ops.where(_outside(locations, shape), 0.0, upstream)
    last = place[-1][..., None]
    pair = ops.concatenate([(1.0 - last) * upstream, last * upstream], axis=-1)
    rows, indices = [], []
    for corner in _corners(len(shape) - 1):
        weighted = _weight(place[:-1], corner)[..., None] * pair if corner else pair
        rows.append(ops.reshape(weighted, (-1, 2 * channels)))
        indices.append(row_index + _offset((*corner, 0), shape))
    pairs = ops.segment_sum(ops.concatenate(rows), ops.concatenate(indices), num_segments=ops.shape(flat)[0])
    total = pairs[:, :channels] + _shift_up(pairs[:, channels:], _steps(shape)[-1])
    return ops.reshape(total, ops.shape(volume)), None


def linear_gradient(
    volume: Tensor, locations: Tensor, upstream: Tensor, *, fill_value: float | None
) -> tuple[Tensor, Tensor]:
    """Gradients of `linear` by the volume and by the locations."""
    by_volume, _ = linear_gradient_by_volume(volume, locations, upstream, fill_value=fill_value)
    _, by_location = linear_gradient_by_location(volume, locations, upstream, fill_value=fill_value)
    return by_volume, by_location


def _nearest(volume: Tensor, locations: Tensor, *, fill_value: float | None) -> Tensor:
    shape = tuple(volume.shape[1:-1])
    index = [
        ops.clip(ops.cast(ops.clip(ops.round(locations[..., axis]), 0.0, float(side - 1)), "int32"), 0, side - 1)
        for axis, side in enumerate(shape)
    ]
    flat_index = _flat_index(index, shape, (-1,) + (1,) * (len(locations.shape) - 2))
    result = ops.take(ops.reshape(volume, (-1, volume.shape[-1])), flat_index, axis=0)
    return _filled(result, locations, shape, fill_value)


_sample_nearest = compiled(_nearest)
_sample_linear = with_gradient(linear, linear_gradient)
# Most warped images need no gradient; leaving out the scatter saves most of the backward pass.
_sample_constant = with_gradient(linear, linear_gradient_by_location)


def check_batches(volume: Tensor, other: Tensor) -> None:
    """Raise ValueError for batches of different sizes: flat indices would silently read other samples."""
    sizes = (volume.shape[0], other.shape[0])
    if None not in sizes and sizes[0] != sizes[1]:
        raise ValueError(f"image and transform must have one batch size, got {sizes[0]} and {sizes[1]}")


def sample(
    volume: Tensor,
    locations: Tensor,
    method: str = "linear",
    fill_value: float | None = None,
    constant: bool = False,
) -> Tensor:
    """Sample a volume at voxel coordinates.

    Args:
        volume: [B, X, Y, Z, C], or any number N of spatial axes; sides must be known.
        locations: [B, ..., N], voxel coordinates in the order of the volume's axes.
        method: "linear" or "nearest" (which has no gradient for the locations).
        fill_value: Value outside the voxel centres' box; None takes the nearest edge voxel.
        constant: True promises that no gradient of the volume is wanted, and is three times faster backwards.

    Returns:
        [B, ..., C], float32 or the volume's own dtype if the method is "nearest".

    Raises:
        ValueError: An unknown method, or batch sizes that differ.
    """
    check_batches(volume, locations)
    locations = ops.cast(locations, "float32")
    if method == "nearest":
        return _sample_nearest(volume, locations, fill_value=fill_value)
    if method != "linear":
        raise ValueError(f"method must be 'linear' or 'nearest', got {method!r}")
    volume = ops.cast(volume, "float32")
    if constant:
        return _sample_constant(ops.stop_gradient(volume), locations, fill_value=fill_value)
    return _sample_linear(volume, locations, fill_value=fill_value)
