"""Displacement and velocity fields of networks: warp, composition, integration, resizing.

A displacement u is [B, X, Y, Z, 3] in voxels of its own grid and pulls: out(x) = image(x + u(x)). All functions take
any number N of spatial axes, with N components last.
"""

from collections.abc import Sequence

import numpy as np
from keras import ops

from acsgreg_tf.ops import Tensor
from acsgreg_tf.ops.backend import with_gradient
from acsgreg_tf.ops.sampling import linear, linear_gradient, sample


def identity_grid(shape: Sequence[int]) -> Tensor:
    """Voxel coordinates of a grid of this shape: [1, X, Y, Z, N], float32."""
    axes = [ops.arange(side, dtype="float32") for side in shape]
    return ops.stack(ops.meshgrid(*axes, indexing="ij"), axis=-1)[None]


def warp(
    image: Tensor,
    displacement: Tensor,
    method: str = "linear",
    fill_value: float | None = None,
    constant: bool = False,
) -> Tensor:
    """out(x) = image(x + u(x)): [B, x, y, z, C] on the displacement's grid. Options as in `sample`."""
    locations = identity_grid(displacement.shape[1:-1]) + ops.cast(displacement, "float32")
    return sample(image, locations, method, fill_value, constant)


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """The displacement of x -> outer(inner(x)): u = inner + outer(x + inner(x)); both [B, X, Y, Z, N]."""
    return ops.convert_to_tensor(inner) + warp(outer, inner)


def _square(field: Tensor) -> Tensor:
    return field + linear(field, identity_grid(field.shape[1:-1]) + field, fill_value=None)


def _square_gradient(field: Tensor, upstream: Tensor) -> Tensor:
    locations = identity_grid(field.shape[1:-1]) + field
    by_field, by_location = linear_gradient(field, locations, upstream, fill_value=None)
    return upstream + by_field + by_location


_squared = with_gradient(_square, _square_gradient)


def integrate(velocity: Tensor, steps: int = 7) -> Tensor:
    """exp(v) by scaling and squaring (Arsigny et al. 2006; the paper's integration layer).

    Args:
        velocity: [B, X, Y, Z, N], stationary, voxels.
        steps: Number of squarings; 0 returns the velocity itself.

    Returns:
        Displacement, same shape and unit. exp(-v) is `integrate(-velocity)`.
    """
    field = ops.cast(velocity, "float32") / 2.0**steps
    # Squaring by squaring: XLA makes one step fast and all of them in one program slow.
    for _ in range(steps):
        field = _squared(field)
    return field


def linear_matrix(old: int, new: int) -> np.ndarray:
    """[new, old] weights of linear interpolation between grids whose first and last voxels coincide."""
    position, rows = np.linspace(0.0, old - 1.0, new), np.arange(new)
    lower = np.clip(np.floor(position), 0, max(old - 2, 0)).astype(int)
    matrix = np.zeros((new, old), "float32")
    matrix[rows, lower] = 1.0 - (position - lower)
    if old > 1:
        matrix[rows, lower + 1] = position - lower
    return matrix


def resize(values: Tensor, shape: Sequence[int]) -> Tensor:
    """Linear resampling of [B, x, y, z, C] to spatial `shape`, corner voxels on corner voxels (as neurite's resize)."""
    for axis, (old, new) in enumerate(zip(values.shape[1:-1], shape, strict=True), start=1):
        if old != new:
            values = ops.moveaxis(ops.tensordot(values, linear_matrix(old, new), axes=([axis], [1])), -1, axis)
    return values


def resize_displacement(displacement: Tensor, shape: Sequence[int]) -> Tensor:
    """A displacement on a grid of another size: resampled, and scaled from old voxels to new voxels.

    The scale is (new - 1) / (old - 1) an axis, exact for grids whose corner voxels coincide, so that exp(v) and exp(-v)
    stay each other's inverse after resizing.
    """
    displacement = ops.convert_to_tensor(displacement)
    old = displacement.shape[1:-1]
    scale = [(new - 1) / (was - 1) if was > 1 else 1.0 for new, was in zip(shape, old, strict=True)]
    return resize(displacement, shape) * ops.convert_to_tensor(scale, dtype=displacement.dtype)
