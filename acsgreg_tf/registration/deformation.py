"""The estimated deformation of one pair: an affine and a velocity, and what follows from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from acsgreg_tf.geometry import Affine, Composite, Grid, affine_from_network, field_from_network

# Squarings where no network says how many.
INT_STEPS = 7


@dataclass(frozen=True, eq=False)
class Deformation:
    """An affine and a stationary velocity in network space: p_fixed -> exp(velocity) -> affine -> moving.

    Attributes:
        affine: [3, 4], voxels about the grid's centre, fixed -> moving.
        velocity: [x, y, z, 3] float32, voxels of its own grid, whose corner voxels are those of the network's grid.
        shape: (X, Y, Z) of the network's grid.
        int_steps: squarings of the integration.
    """

    affine: np.ndarray
    velocity: np.ndarray
    shape: tuple[int, ...]
    int_steps: int = INT_STEPS

    @cached_property
    def phi(self) -> np.ndarray:
        """Displacement exp(v), [X, Y, Z, 3] float32, voxels, pull. Computed lazily; cached."""
        return exponential(self.velocity, self.shape, self.int_steps)

    @cached_property
    def inverse(self) -> np.ndarray:
        """Displacement of phi's inverse, [X, Y, Z, 3] float32, voxels. Computed lazily; cached.

        It is exp(-v), corrected for the grid's interpolation (`ops.fields.correct_inverse`, `balance_inverse`).
        """
        from keras import ops

        from acsgreg_tf.ops import fields

        forward = ops.convert_to_tensor(self.phi[None])
        backward = ops.convert_to_tensor(exponential(-self.velocity, self.shape, self.int_steps)[None])
        backward = fields.balance_inverse(fields.correct_inverse(backward, forward), forward)
        return ops.convert_to_numpy(backward)[0]

    def world_affine(self, fixed: Grid, moving: Grid) -> Affine:
        """The affine part, fixed RAS mm -> moving RAS mm, between two network grids."""
        return affine_from_network(self.affine, fixed, moving)

    def world_transform(self, fixed: Grid, moving: Grid) -> Composite:
        """The whole transform, fixed RAS mm -> moving RAS mm, between two network grids; it has an inverse."""
        field = field_from_network(self.phi, fixed, self.inverse)
        return Composite([field, self.world_affine(fixed, moving)])


def exponential(velocity: np.ndarray, shape: Sequence[int], int_steps: int) -> np.ndarray:
    """The displacement exp(v) on a grid whose corner voxels are those of the velocity's.

    Args:
        velocity: [x, y, z, 3], stationary, voxels of its own grid.
        shape: (X, Y, Z) of the displacement.
        int_steps: squarings.

    Returns:
        [X, Y, Z, 3] float32, voxels of the displacement's grid.
    """
    from keras import ops

    from acsgreg_tf.ops import fields

    phi = fields.integrate(ops.convert_to_tensor(velocity[None]), int_steps)
    if tuple(phi.shape[1:4]) != tuple(shape):
        phi = fields.resize_displacement(phi, shape)
    return ops.convert_to_numpy(phi)[0]
