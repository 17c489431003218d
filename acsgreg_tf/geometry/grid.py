"""A voxel grid in the world: its shape and where its voxels lie."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from acsgreg_tf.errors import InputError
from acsgreg_tf.fields import through

# Voxels from a voxel's centre to its face. Faces of aligned grids meet exactly; the rest keeps rounding errors from
# deciding on which side.
FACE = 0.5 + 1e-6
# Coordinates from which on a compiled pass is quicker than numpy's product with a small matrix.
_MANY = 30_000


@dataclass(frozen=True, eq=False)
class Grid:
    """Shape and voxel-to-world affine of a volume (X, Y, Z).

    Attributes:
        shape: Three positive integers.
        affine: 4x4, voxel index -> RAS mm, as nibabel's `image.affine`. Rotations, shears and flips are
            welcome.

    Raises:
        InputError: The shape is not three positive integers, or the affine is not 4x4, holds a NaN or is
            singular.
    """

    shape: tuple[int, ...]
    affine: np.ndarray

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise InputError(f"a grid's shape must be three positive integers, got {tuple(self.shape)}")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", check_affine(self.affine, "the voxel-to-world affine"))

    @property
    def spacing(self) -> np.ndarray:
        """Distance between neighbouring voxel centres along each voxel axis, mm, (3,)."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def center(self) -> np.ndarray:
        """RAS mm of the index (shape - 1) / 2, (3,)."""
        return self.index_to_points((np.array(self.shape) - 1) / 2)

    def index_to_points(self, index: ArrayLike) -> np.ndarray:
        """Voxel indices (..., 3), fractions allowed, to RAS mm (..., 3)."""
        return moved_linearly(index, self.affine)

    def points_to_index(self, points: ArrayLike) -> np.ndarray:
        """RAS mm (..., 3) to voxel indices with fractions (..., 3)."""
        return moved_linearly(points, np.linalg.inv(self.affine))

    def contains_index(self, index: ArrayLike) -> np.ndarray:
        """Whether voxel indices (..., 3) lie in the grid up to its outer voxel faces, -0.5 <= index < shape - 0.5.

        This is where ITK's interpolators and displacement fields end. Returns booleans (...).
        """
        index = np.asarray(index) + FACE
        inside = (index[..., 0] >= 0) & (index[..., 0] < self.shape[0])
        for axis in (1, 2):
            inside &= index[..., axis] >= 0
            inside &= index[..., axis] < self.shape[axis]
        return inside

    def points(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """RAS mm of the voxel centres (n, Y, Z, 3) of the slab `volume[start:stop]`; by default of all."""
        x, y, z = map(np.arange, self.shape)
        return self.crossings((x[start:stop], y, z))

    def crossings(self, axes: Sequence[ArrayLike]) -> np.ndarray:
        """RAS mm (x, y, z, 3) where three lists of voxel indices cross, one for each axis, of x, y and z numbers."""
        x, y, z = (np.asarray(at)[:, None] * column for at, column in zip(axes, self.affine[:3, :3].T, strict=True))
        rows = x[:, None] + y
        # Whole rows are added at once: numpy is slow where the last axis is short.
        points = np.tile(rows, len(z)) + (z + self.affine[:3, 3]).ravel()
        return points.reshape(*rows.shape[:2], len(z), 3)

    def slabs(self, voxels: int = 500_000) -> Iterator[tuple[int, int]]:
        """Cut the grid along its first axis; yield (start, stop) of slabs of about so many voxels."""
        step = max(1, voxels // (self.shape[1] * self.shape[2]))
        for start in range(0, self.shape[0], step):
            yield start, min(start + step, self.shape[0])

    def crop(self, start: ArrayLike, stop: ArrayLike) -> "Grid":
        """The grid of `volume[start[0]:stop[0], start[1]:stop[1], start[2]:stop[2]]`.

        `start` may be negative and `stop` beyond the shape: then the new grid reaches outside of this one.
        """
        affine = self.affine.copy()
        affine[:3, 3] = self.index_to_points(start)
        return Grid(tuple(np.subtract(stop, start)), affine)

    def isclose(self, other: "Grid", tolerance: float = 0.01) -> bool:
        """Whether `other` has this shape and every voxel at this place.

        Args:
            other: A Grid.
            tolerance: The largest distance allowed, in sides of the smallest voxel. Headers hold float32 and
                quaternions, so grids that are meant to be equal differ in the last digits.
        """
        if self.shape != other.shape:
            return False
        corners = box_corners((0, 0, 0), np.subtract(self.shape, 1))
        apart = np.linalg.norm(self.index_to_points(corners) - other.index_to_points(corners), axis=1)
        return bool(apart.max() <= tolerance * self.spacing.min())


def moved_linearly(points: ArrayLike, matrix: np.ndarray) -> np.ndarray:
    """Points (..., 3) through a 4x4 matrix, float64."""
    points = np.asarray(points, dtype=float)
    if points.size < _MANY:
        return points @ matrix[:3, :3].T + matrix[:3, 3]
    return through(points, [(matrix[:3], None)], 0.0)


def box_corners(low: ArrayLike, high: ArrayLike) -> np.ndarray:
    """The eight corners (8, 3) of the box from `low` (3,) to `high` (3,)."""
    return np.array(np.meshgrid(*np.transpose([low, high]))).reshape(3, -1).T


def check_affine(matrix: ArrayLike, name: str = "the affine") -> np.ndarray:
    """`matrix` as a read-only float64 4x4 array.

    Raises:
        InputError: Naming `name`, when it is not 4x4 with last row 0 0 0 1, not finite, or singular.
    """
    matrix = np.array(matrix, dtype=np.float64)
    if matrix.shape != (4, 4):
        raise InputError(f"{name} must be a 4x4 matrix, got shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise InputError(f"{name} holds a NaN or an infinite number")
    if not np.allclose(matrix[3], (0, 0, 0, 1)):
        raise InputError(f"{name} must have the last row 0 0 0 1, got {matrix[3].tolist()}")
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if lengths.min() < 1e-6 or abs(np.linalg.det(matrix[:3, :3] / lengths)) < 1e-6:
        raise InputError(f"{name} is singular: {matrix[:3, :3].tolist()}")
    matrix.setflags(write=False)
    return matrix
