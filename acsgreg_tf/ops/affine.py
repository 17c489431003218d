"""Affine transforms [B, N, N+1] in voxels about the grid's centre, fixed -> moving: voxelmorph's convention.

x' = M[:, :N] (x - c) + M[:, N] + c, with c = (shape - 1) / 2.
"""

import math
from collections.abc import Sequence

import numpy as np
from keras import ops

from acsgreg_tf.ops import Tensor
from acsgreg_tf.ops.backend import with_gradient
from acsgreg_tf.ops.fields import identity_grid, warp
from acsgreg_tf.ops.sampling import check_batches, linear, linear_gradient_by_location


def center(shape: Sequence[int]) -> np.ndarray:
    """The point about which an affine acts: (shape - 1) / 2, float32 [N]."""
    return (np.asarray(shape, "float32") - 1.0) / 2.0


def transform_points(affine: Tensor, points: Tensor, about: Tensor) -> Tensor:
    """Apply [B, N, N+1] to points [B (or 1), ..., N] about the point `about` [N]."""
    rank = affine.shape[-2]
    about = ops.convert_to_tensor(about, dtype="float32")
    spread = (-1,) + (1,) * (len(points.shape) - 2)
    moved = ops.reshape(affine[:, :, rank], (*spread, rank))
    for axis in range(rank):
        column = ops.reshape(affine[:, :, axis], (*spread, rank))
        moved = moved + column * (points[..., axis : axis + 1] - about[axis])
    return moved + about


def _about(shape: Sequence[int], shift_center: bool) -> np.ndarray:
    return center(shape) if shift_center else np.zeros(len(shape), "float32")


def to_displacement(affine: Tensor, shape: Sequence[int], shift_center: bool = True) -> Tensor:
    """The displacement field of an affine on a grid: [B, N, N+1] -> [B, X, Y, Z, N] voxels."""
    grid = identity_grid(shape)
    return transform_points(ops.cast(affine, "float32"), grid, _about(shape, shift_center)) - grid


def _sampled(volume: Tensor, affine: Tensor, *, fill_value: float | None, shift_center: bool) -> Tensor:
    shape = volume.shape[1:-1]
    locations = transform_points(affine, identity_grid(shape), _about(shape, shift_center))
    return linear(volume, locations, fill_value=fill_value)


def _sampled_gradient(
    volume: Tensor, affine: Tensor, upstream: Tensor, *, fill_value: float | None, shift_center: bool
) -> tuple[None, Tensor]:
    shape = volume.shape[1:-1]
    grid, about = identity_grid(shape), _about(shape, shift_center)
    locations = transform_points(affine, grid, about)
    _, slope = linear_gradient_by_location(volume, locations, upstream, fill_value=fill_value)
    # A matrix product, since XLA would compute the slope again for each of the sums that it stands for.
    centred = ops.reshape(grid - ops.convert_to_tensor(about), (-1, len(shape)))
    lever = ops.concatenate([centred, ops.ones_like(centred[:, :1])], axis=-1)
    slope = ops.reshape(slope, (-1, lever.shape[0], len(shape)))
    return None, ops.matmul(ops.transpose(slope, (0, 2, 1)), lever)


_warp_constant = with_gradient(_sampled, _sampled_gradient)


def warp_affine(
    image: Tensor,
    affine: Tensor,
    method: str = "linear",
    fill_value: float | None = None,
    shift_center: bool = True,
    constant: bool = False,
) -> Tensor:
    """The image under an affine on its own grid: [B, X, Y, Z, C], [B, N, N+1] -> [B, X, Y, Z, C].

    Args:
        image: [B, X, Y, Z, C].
        affine: [B, N, N+1], voxels.
        method: As in `sampling.sample`.
        fill_value: As in `sampling.sample`.
        shift_center: The affine acts about the grid's centre rather than about voxel 0.
        constant: As in `sampling.sample`; the displacement field is then never in memory.

    Raises:
        ValueError: An unknown method, or batch sizes that differ.
    """
    check_batches(image, affine)
    if constant and method == "linear":
        image, affine = ops.stop_gradient(ops.cast(image, "float32")), ops.cast(affine, "float32")
        return _warp_constant(image, affine, fill_value=fill_value, shift_center=shift_center)
    return warp(image, to_displacement(affine, image.shape[1:-1], shift_center), method, fill_value, constant)


def _joint_points(affine: Tensor, displacement: Tensor) -> tuple[Tensor, Tensor, np.ndarray]:
    """Voxels before the affine, x + u(x), and after it, with the affine's centre."""
    shape = displacement.shape[1:-1]
    before, about = identity_grid(shape) + displacement, center(shape)
    return before, transform_points(affine, before, about), about


def _sampled_jointly(volume: Tensor, affine: Tensor, displacement: Tensor, *, fill_value: float | None) -> Tensor:
    return linear(volume, _joint_points(affine, displacement)[1], fill_value=fill_value)


def _sampled_jointly_gradient(
    volume: Tensor, affine: Tensor, displacement: Tensor, upstream: Tensor, *, fill_value: float | None
) -> tuple[None, Tensor, Tensor]:
    before, locations, about = _joint_points(affine, displacement)
    rank = len(about)
    _, slope = linear_gradient_by_location(volume, locations, upstream, fill_value=fill_value)
    slope = ops.reshape(slope, (-1, math.prod(displacement.shape[1:-1]), rank))
    centred = ops.reshape(before - ops.convert_to_tensor(about), (ops.shape(slope)[0], slope.shape[1], rank))
    lever = ops.concatenate([centred, ops.ones_like(centred[..., :1])], axis=-1)
    by_affine = ops.matmul(ops.transpose(slope, (0, 2, 1)), lever)
    by_displacement = ops.reshape(ops.matmul(slope, affine[..., :rank]), ops.shape(displacement))
    return None, by_affine, by_displacement


_warp_jointly = with_gradient(_sampled_jointly, _sampled_jointly_gradient)


def warp_jointly(image: Tensor, affine: Tensor, displacement: Tensor, fill_value: float | None = None) -> Tensor:
    """The image sampled once, linearly, at A(x + u(x)): p_fixed -> phi -> A -> moving.

    Args:
        image: [B, X, Y, Z, C], taken as constant (no gradient).
        affine: [B, N, N+1], voxels about the centre of the displacement's grid.
        displacement: [B, x, y, z, N], voxels.
        fill_value: Value outside the image; None takes the nearest edge voxel.

    Returns:
        [B, x, y, z, C] on the displacement's grid, float32.
    """
    check_batches(image, affine)
    check_batches(image, displacement)
    image = ops.stop_gradient(ops.cast(image, "float32"))
    affine, displacement = ops.cast(affine, "float32"), ops.cast(displacement, "float32")
    return _warp_jointly(image, affine, displacement, fill_value=fill_value)
