"""Affine transforms [B, N, N+1] in voxels about the grid's centre, fixed -> moving: voxelmorph's convention.

x' = M[:, :N] (x - c) + M[:, N] + c, with c = (shape - 1) / 2.
"""

import numpy as np
from keras import ops

from acsgreg_tf.ops.fields import identity_grid


def center(shape):
    """The point about which an affine acts: (shape - 1) / 2, float32 [N]."""
    return (np.asarray(shape, "float32") - 1.0) / 2.0


def transform_points(affine, points, about):
    """Apply [B, N, N+1] to points [B (or 1), ..., N] about the point `about` [N]."""
    rank = affine.shape[-2]
    spread = (-1,) + (1,) * (len(points.shape) - 2)
    moved = ops.reshape(affine[:, :, rank], (*spread, rank))
    for axis in range(rank):
        column = ops.reshape(affine[:, :, axis], (*spread, rank))
        moved = moved + column * (points[..., axis : axis + 1] - about[axis])
    return moved + about


def to_displacement(affine, shape, shift_center=True):
    """The displacement field of an affine on a grid: [B, N, N+1] -> [B, X, Y, Z, N] voxels."""
    grid = identity_grid(shape)
    about = center(shape) if shift_center else np.zeros(len(shape), "float32")
    return transform_points(ops.cast(affine, "float32"), grid, about) - grid


def after_displacement(affine, displacement):
    """Displacement of the whole transform x -> A(x + phi(x)) (p_fixed -> phi -> A -> moving), [B, X, Y, Z, N]."""
    shape = displacement.shape[1:-1]
    grid = identity_grid(shape)
    return transform_points(affine, grid + displacement, center(shape)) - grid
