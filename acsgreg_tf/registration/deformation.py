"""The estimated deformation of one pair: an affine and a velocity, and what follows from them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from acsgreg_tf import fields
from acsgreg_tf.geometry import Affine, Composite, Grid, affine_from_network, field_from_network
from acsgreg_tf.registration.folds import unfolded

# Squarings where no network says how many.
INT_STEPS = 7
# A power of two.
PARTS = 2
# Times that a part is corrected until all together are the whole.
MATCHES = 2


@dataclass(frozen=True, eq=False)
class Deformation:
    """An affine and a stationary velocity in network space: p_fixed -> exp(velocity) -> affine -> moving.

    The velocity's lattice lies on the network's grid, corner voxels on corner voxels, and may reach beyond it by
    `margin` lattice voxels on every side (`registration.margin`).

    exp(v) is made of `parts` equal parts, exp(v / parts), one after the other. Between its voxels the inverse of one
    steep field is off by a millimetre where its two halves are off by tenths.

    Attributes:
        affine: [3, 4], voxels about the grid's centre, fixed -> moving.
        velocity: [x, y, z, 3] float32, voxels of its own lattice, margins included.
        shape: (X, Y, Z) of the network's grid.
        int_steps: Squarings of the integration.
        margin: Lattice voxels beyond the network's grid at either end of each axis.
    """

    affine: np.ndarray
    velocity: np.ndarray
    shape: tuple[int, ...]
    int_steps: int = INT_STEPS
    margin: tuple[int, int, int] = (0, 0, 0)

    @property
    def step(self) -> np.ndarray:
        """Voxels of the network's grid in one voxel of the lattice, (3,)."""
        lattice = np.array(self.velocity.shape[:3]) - 2 * np.array(self.margin)
        return (np.array(self.shape) - 1) / np.maximum(lattice - 1, 1)

    @property
    def padding(self) -> np.ndarray:
        """By how many voxels `phi` reaches beyond the network's grid on every side, (3,)."""
        return np.floor(np.array(self.margin) * self.step + 1e-6).astype(int)

    @property
    def parts(self) -> int:
        """Of how many equal parts exp(v) is made; a displacement that is not integrated has one."""
        return PARTS if self.int_steps else 1

    def on_lattice(self, places: np.ndarray) -> np.ndarray:
        """Places (N, 3) in voxels of phi's grid, in voxels of the lattice."""
        return (places - self.padding) / self.step + self.margin

    @property
    def moving_lattice(self) -> np.ndarray:
        """(3, 4) float64, from voxels of phi's grid to voxels of the moving network grid: the affine."""
        linear, centre = np.float64(self.affine[:, :3]), (np.array(self.shape) - 1) / 2
        return np.c_[linear, self.affine[:, 3] + centre - linear @ (centre + self.padding)]

    @cached_property
    def part(self) -> np.ndarray:
        """One part on the network's grid grown by `padding`, [..., 3] float32, voxels. Cached.

        All parts together are exp(v) as the lattice integrates it.
        """
        lattice = self._lattice_part(self.velocity)
        part = self._on_grid(lattice)
        if self.parts > 1:
            whole = self._on_grid(self._whole(lattice))
            for _ in range(MATCHES):
                part = fields.approach(part, whole, self.parts)
        return part

    @cached_property
    def rough_inverse(self) -> np.ndarray:
        """`part_inverse` that may fold still between its voxels and on the moving grid. Computed lazily; cached.

        It is exp(-v / parts), corrected for the grid's interpolation (`fields.correct_inverse`, `balance_inverse`).
        """
        backward = self._on_grid(self._lattice_part(-self.velocity))
        backward = fields.balance_inverse(fields.correct_inverse(backward, self.part, steps=1), self.part)
        return unfolded(backward, self._whole, self.parts)

    @cached_property
    def part_inverse(self) -> np.ndarray:
        """Displacement of part's inverse, of its shape, float32, voxels. Computed lazily; cached.

        It is `rough_inverse` without folds between the voxels of its own grid and of the moving one.
        """
        return unfolded(self.rough_inverse, self._whole, self.parts, self.moving_lattice)

    @cached_property
    def integrated(self) -> np.ndarray:
        """exp(v) as the lattice integrates it, on part's grid, float32, voxels: what a network computes. Cached."""
        return self._on_grid(fields.integrate(self.velocity, self.int_steps))

    @cached_property
    def phi(self) -> np.ndarray:
        """Displacement exp(v) = all parts, at the voxels of part's grid, float32, voxels, pull. Cached."""
        return self._whole(self.part)

    @cached_property
    def inverse(self) -> np.ndarray:
        """Displacement of phi's inverse, of phi's shape, float32, voxels. Computed lazily; cached."""
        return self._whole(self.part_inverse)

    def _whole(self, part: np.ndarray) -> np.ndarray:
        whole = part
        for _ in range(self.parts - 1):
            whole = fields.compose(part, whole)
        return whole

    @property
    def box_velocity(self) -> np.ndarray:
        """The velocity without its margin, [x, y, z, 3]."""
        return _inner(self.velocity, self.margin)

    def in_box(self, volume: np.ndarray) -> np.ndarray:
        """The part of a volume on phi's grid that lies on the network's grid, [X, Y, Z, ...]."""
        return _inner(volume, self.padding)

    def world_affine(self, fixed: Grid, moving: Grid) -> Affine:
        """The affine part, fixed RAS mm -> moving RAS mm, between two network grids."""
        return affine_from_network(self.affine, fixed, moving)

    def world_transform(self, fixed: Grid, moving: Grid) -> Composite:
        """The whole transform, fixed RAS mm -> moving RAS mm, between two network grids; it has an inverse."""
        if not self.velocity.any():
            return Composite([self.world_affine(fixed, moving)])
        grown = fixed.crop(-self.padding, np.add(fixed.shape, self.padding))
        field = field_from_network(self.part, grown, self.part_inverse)
        return Composite([field] * self.parts + [self.world_affine(fixed, moving)])

    def _lattice_part(self, velocity: np.ndarray) -> np.ndarray:
        """exp(v / parts) on the lattice, in its voxels."""
        # The squarings that are left out are those that lay the parts together.
        return fields.integrate(velocity / self.parts, self.int_steps - int(np.log2(self.parts)))

    def _on_grid(self, field: np.ndarray) -> np.ndarray:
        """A displacement on the lattice, on the grown grid in its voxels."""
        if not any(self.margin) and field.shape[:3] == tuple(self.shape):
            return field
        sides = zip(self.shape, self.step, self.padding, self.margin, strict=True)
        places = [np.arange(-pad, side + pad) / step + beyond for side, step, pad, beyond in sides]
        return fields.resize(field * self.step.astype("float32"), places)


def _inner(volume: np.ndarray, border: np.ndarray | tuple[int, ...]) -> np.ndarray:
    return volume[tuple(slice(b, n - b) for b, n in zip(border, volume.shape[:3], strict=True))]
