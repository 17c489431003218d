"""What the tests of fields and affines share."""

import numpy as np

from acsgreg_tf.ops.affine import center, transform_points
from acsgreg_tf.ops.fields import identity_grid


def after_displacement(affine, displacement):
    """Displacement of x -> A(x + u(x)), [B, X, Y, Z, N], A about the centre of u's grid."""
    shape = displacement.shape[1:-1]
    grid = identity_grid(shape)
    return transform_points(affine, grid + displacement, center(shape)) - grid


def coordinates(shape):
    """An image [1, *shape, N] of the voxels' own indices; sampled linearly, it shows where it was sampled."""
    return np.moveaxis(np.indices(shape), 0, -1)[None].astype("float32")
