"""The estimated deformation of one pair: an affine and a velocity, and what follows from them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from acsgreg_tf.geometry import Affine, Composite, Grid, affine_from_network, field_from_network
from acsgreg_tf.registration.folds import unfolded

# Squarings where no network says how many.
INT_STEPS = 7


@dataclass(frozen=True, eq=False)
class Deformation:
    """An affine and a stationary velocity in network space: p_fixed -> exp(velocity) -> affine -> moving.

    The velocity's lattice lies on the network's grid, corner voxels on corner voxels, and may reach beyond it by
    `margin` lattice voxels on every side (`registration.margin`).

    Attributes:
        affine: [3, 4], voxels about the grid's centre, fixed -> moving.
        velocity: [x + 2 margin, y + 2 margin, z + 2 margin, 3] float32, voxels of its own lattice.
        shape: (X, Y, Z) of the network's grid.
        int_steps: Squarings of the integration.
        margin: Lattice voxels beyond the network's grid, on every side.
    """

    affine: np.ndarray
    velocity: np.ndarray
    shape: tuple[int, ...]
    int_steps: int = INT_STEPS
    margin: int = 0

    @property
    def step(self) -> np.ndarray:
        """Voxels of the network's grid in one voxel of the lattice, (3,)."""
        lattice = np.array(self.velocity.shape[:3]) - 2 * self.margin
        return (np.array(self.shape) - 1) / np.maximum(lattice - 1, 1)

    @property
    def padding(self) -> np.ndarray:
        """By how many voxels `phi` reaches beyond the network's grid on every side, (3,)."""
        return np.floor(self.margin * self.step + 1e-6).astype(int)

    @cached_property
    def phi(self) -> np.ndarray:
        """Displacement exp(v) on the network's grid grown by `padding`, [..., 3] float32, voxels, pull. Cached."""
        return self._exponential(self.velocity)

    @cached_property
    def inverse(self) -> np.ndarray:
        """Displacement of phi's inverse, of phi's shape, float32, voxels. Computed lazily; cached.

        It is exp(-v), corrected for the grid's interpolation (`ops.fields.correct_inverse`, `balance_inverse`), without
        folds.
        """
        from keras import ops

        from acsgreg_tf.ops import fields

        forward = ops.convert_to_tensor(self.phi[None])
        backward = ops.convert_to_tensor(self._exponential(-self.velocity)[None])
        backward = fields.balance_inverse(fields.correct_inverse(backward, forward), forward)
        return unfolded(ops.convert_to_numpy(backward)[0])

    @property
    def box_velocity(self) -> np.ndarray:
        """The velocity without its margin, [x, y, z, 3]."""
        return _inner(self.velocity, (self.margin,) * 3)

    def in_box(self, volume: np.ndarray) -> np.ndarray:
        """The part of a volume on phi's grid that lies on the network's grid, [X, Y, Z, ...]."""
        return _inner(volume, self.padding)

    def world_affine(self, fixed: Grid, moving: Grid) -> Affine:
        """The affine part, fixed RAS mm -> moving RAS mm, between two network grids."""
        return affine_from_network(self.affine, fixed, moving)

    def world_transform(self, fixed: Grid, moving: Grid) -> Composite:
        """The whole transform, fixed RAS mm -> moving RAS mm, between two network grids; it has an inverse."""
        grown = fixed.crop(-self.padding, np.add(fixed.shape, self.padding))
        field = field_from_network(self.phi, grown, self.inverse)
        return Composite([field, self.world_affine(fixed, moving)])

    def _exponential(self, velocity: np.ndarray) -> np.ndarray:
        from keras import ops

        from acsgreg_tf.ops import fields

        phi = fields.integrate(ops.convert_to_tensor(velocity[None]), self.int_steps)
        if not self.margin and velocity.shape[:3] == tuple(self.shape):
            return ops.convert_to_numpy(phi)[0]
        sides = zip(self.shape, velocity.shape[:3], self.step, self.padding, strict=True)
        matrices = [
            fields.weights_at(np.arange(-pad, new + pad) / step + self.margin, old) for new, old, step, pad in sides
        ]
        phi = fields.resize_by(phi, matrices) * ops.convert_to_tensor(self.step, dtype=phi.dtype)
        return ops.convert_to_numpy(phi)[0]


def _inner(volume: np.ndarray, border: np.ndarray | tuple[int, ...]) -> np.ndarray:
    return volume[tuple(slice(b, n - b) for b, n in zip(border, volume.shape[:3], strict=True))]
