"""The part of the network's grids that refinement works on: a box round the fixed vertebra.

Two grids lie over each other, corner voxels on corner voxels: the images' (full) and the velocity's (lattice, as a rule
of half the sides). A box is a range of the lattice; `Window` is what it covers of either grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acsgreg_tf.fields import resize, spread_over


@dataclass(frozen=True)
class Window:
    """A box on one grid.

    Attributes:
        first, shape: Its first voxel and its sides.
        places: Where this window's voxels lie in the box on the lattice, for each axis, or () where they are the same.
        scale: A displacement's voxels on this grid in one voxel of the lattice, (3,).
        step: Full voxels in one voxel of this grid, (3,).
        full: Sides of the full grid.
    """

    first: np.ndarray
    shape: tuple[int, ...]
    places: tuple[np.ndarray, ...]
    scale: np.ndarray
    step: np.ndarray
    full: tuple[int, ...]

    def resized(self, volume: np.ndarray) -> np.ndarray:
        """A volume [X, Y, Z, C] of the full grid on the whole grid of which this is a part."""
        sides = [round((n - 1) / step) + 1 for n, step in zip(self.full, self.step, strict=True)]
        return resize(volume, [spread_over(old, new) for old, new in zip(self.full, sides, strict=True)])

    def counts(self, full: np.ndarray | None) -> np.ndarray:
        """How much each of its voxels counts, [x, y, z] float32, from (X, Y, Z) of the full grid; None is 1."""
        if full is None:
            return np.ones(self.shape, np.float32)
        return np.ascontiguousarray(self.crop(self.resized(full[..., None]))[..., 0])

    def crop(self, volume: np.ndarray) -> np.ndarray:
        """The window's part of a volume [X, Y, Z, ...] on this grid."""
        return volume[tuple(slice(a, a + n) for a, n in zip(self.first, self.shape, strict=True))]

    def _changes(self) -> tuple[np.ndarray, np.ndarray]:
        """Two 4x4 changes of coordinates, into and out of the full grid.

        From voxels about the window's centre to full voxels about the full grid's; and from full voxels about the full
        grid's centre to this grid's voxels, less the window's centre.
        """
        here = (np.array(self.shape) - 1) / 2
        centre = (np.array(self.full) - 1) / 2
        enter, leave = np.eye(4), np.eye(4)
        enter[:3, :3], enter[:3, 3] = np.diag(self.step), self.step * (self.first + here) - centre
        leave[:3, :3], leave[:3, 3] = np.diag(1 / self.step), centre / self.step - here
        return enter, leave

    def affine(self, full_affine: np.ndarray) -> np.ndarray:
        """An affine [3, 4] about the full grid's centre, as `fields.warp_jointly` takes it here, [3, 4].

        It takes this window's points, about its centre, to the moving volume's voxels on the same kind of grid.
        """
        enter, leave = self._changes()
        return (leave @ np.vstack([full_affine, [0, 0, 0, 1]]) @ enter)[:3]

    def affine_gradient(self, gradient: np.ndarray) -> np.ndarray:
        """Gradient [3, 4] by the full grid's affine, from [3, 4] by this window's."""
        enter, leave = self._changes()
        return leave[:3, :3].T @ gradient @ enter.T


class Box:
    """The box round a mask.

    Args:
        mask: (X, Y, Z) bool on the full grid; where it is empty the box is all of it.
        lattice: Sides of the velocity's grid.
        margin: Full voxels of surroundings on all sides, where there are so many.
        quantum: Sides on the lattice are multiples of it (or all there is).
    """

    def __init__(self, mask: np.ndarray, lattice: Sequence[int], margin: int = 6, quantum: int = 8) -> None:
        self.full, self.lattice = tuple(mask.shape), tuple(lattice)
        self.step = np.array([(f - 1) / (n - 1) for f, n in zip(self.full, self.lattice, strict=True)])
        first, shape = [], []
        for axis, (step, side) in enumerate(zip(self.step, self.lattice, strict=True)):
            held = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
            low, high = (held[0], held[-1]) if len(held) else (0, self.full[axis] - 1)
            low = max(int((low - margin) / step), 0)
            high = min(int(np.ceil((high + margin) / step)), side - 1)
            size = min(-(-(high - low + 1) // quantum) * quantum, side)
            first.append(max(min(low - (size - (high - low + 1)) // 2, side - size), 0))
            shape.append(size)
        self.first, self.shape = np.array(first), tuple(shape)

    def coarse(self) -> Window:
        """The box on the lattice itself."""
        return Window(self.first, self.shape, (), np.ones(3), self.step, self.full)

    def fine(self) -> Window:
        """What it covers of the full grid; the same where the lattice is the full grid."""
        if self.lattice == self.full:
            return self.coarse()
        first = np.ceil(self.first * self.step - 1e-6).astype(int)
        # So many full voxels lie between the box's ends wherever it is; a box from border to border is all of that
        # axis.
        shape = tuple(
            f if n == side else int((n - 1) * step + 1e-6)
            for f, n, side, step in zip(self.full, self.shape, self.lattice, self.step, strict=True)
        )
        places = tuple(
            spread_over(old, new)[a : a + n] - b
            for old, new, a, n, b in zip(self.lattice, self.full, first, shape, self.first, strict=True)
        )
        return Window(first, shape, places, self.step, np.ones(3), self.full)

    @property
    def inside(self) -> tuple[slice, ...]:
        """Slices of the box in a volume on the lattice."""
        return tuple(slice(a, a + n) for a, n in zip(self.first, self.shape, strict=True))

    def taper(self, width: int = 3) -> np.ndarray:
        """[x, y, z, 1], 1 inside and falling to 0 at the box's faces, but for those on the lattice's own border."""
        weight = np.ones((*self.shape, 1), "float32")
        for axis, (first, n, side) in enumerate(zip(self.first, self.shape, self.lattice, strict=True)):
            along = np.arange(n)
            rise = np.clip(along / width, 0, 1) if first > 0 else np.ones(n)
            fall = np.clip(along[::-1] / width, 0, 1) if first + n < side else np.ones(n)
            weight = weight * (rise * fall).reshape([-1 if a == axis else 1 for a in range(4)])
        return weight.astype("float32")
