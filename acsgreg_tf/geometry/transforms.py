"""Transforms of the world: RAS mm in, RAS mm out, and nothing else.

All of them point the way images are resampled (pull): from a point of the FIXED image to the matching point
of the MOVING image. `moved(x) = moving(transform.apply(x))`. A landmark of the moving image therefore goes to
its place in the fixed image by the inverse.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from acsgreg_tf.errors import InputError
from acsgreg_tf.fields import displace, through
from acsgreg_tf.fields.chain import MOST_FIELDS, Step
from acsgreg_tf.geometry.grid import FACE, Grid, box_corners, check_affine, moved_linearly


class Transform(ABC):
    """The interface of `Affine`, `DenseField` and `Composite`."""

    @abstractmethod
    def apply(self, points: ArrayLike) -> np.ndarray:
        """Fixed RAS mm (..., 3) to moving RAS mm (..., 3), float64."""

    @abstractmethod
    def inverse(self) -> "Transform":
        """The transform from moving to fixed.

        Raises:
            InputError: A displacement field in it has no inverse field of its own.
        """

    @abstractmethod
    def reach(self, low: ArrayLike, high: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """The box (low, high) of fixed points that holds all that land in the moving box (low, high), RAS mm."""

    def compose(self, then: "Transform") -> "Transform":
        """The transform that applies this one first and `then` second."""
        return Composite([self, then])

    def to_displacement(self, grid: Grid) -> "DenseField":
        """What the transform does to the voxel centres of `grid`, as a DenseField on it without inverse."""
        displacement = np.empty((*grid.shape, 3), np.float32)
        for start, stop in grid.slabs():
            points = grid.points(start, stop)
            displacement[start:stop] = self.apply(points) - points
        return DenseField(displacement, grid)


class Affine(Transform):
    """A linear map and a shift.

    Attributes:
        matrix: 4x4 float64, fixed RAS mm -> moving RAS mm.

    Raises:
        InputError: The matrix is not 4x4, not finite, or singular.
    """

    def __init__(self, matrix: ArrayLike) -> None:
        self.matrix = check_affine(matrix, "an affine transform")

    def apply(self, points: ArrayLike) -> np.ndarray:
        return moved_linearly(points, self.matrix)

    def inverse(self) -> "Transform":
        return Affine(np.linalg.inv(self.matrix))

    def compose(self, then: "Transform") -> "Transform":
        return Affine(then.matrix @ self.matrix) if isinstance(then, Affine) else super().compose(then)

    def reach(self, low: ArrayLike, high: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        corners = box_corners(low, high)
        corners = self.inverse().apply(corners)
        return corners.min(axis=0), corners.max(axis=0)


class DenseField(Transform):
    """A displacement at every voxel of a grid: x -> x + u(x), u interpolated linearly.

    As in ITK's DisplacementFieldTransform, u reaches half a voxel beyond the outermost voxel centres, where
    it keeps its value, and is zero from there on.

    Attributes:
        displacement: (X, Y, Z, 3) float32, RAS mm.
        grid: The Grid it lives on.
        inverse_displacement: (X, Y, Z, 3) float32 RAS mm on the same grid, or None. A field has no inverse
            that could be computed exactly; whoever made the field (as exp(v)) must supply the inverse
            (exp(-v)).

    Raises:
        InputError: A field does not fit the grid, or holds a NaN or an infinite number.
    """

    def __init__(self, displacement: ArrayLike, grid: Grid, inverse_displacement: ArrayLike | None = None) -> None:
        self.grid = grid
        self.displacement = _check_field(displacement, grid)
        self.inverse_displacement = None
        if inverse_displacement is not None:
            self.inverse_displacement = _check_field(inverse_displacement, grid)

    def apply(self, points: ArrayLike) -> np.ndarray:
        to_index = np.linalg.inv(self.grid.affine)[:3]
        return displace(np.asarray(points, dtype=float), to_index, self.displacement, FACE)

    def inverse(self) -> "Transform":
        if self.inverse_displacement is None:
            raise InputError(
                "this displacement field came without its inverse, and a guess would not be exact: "
                "use the inverse written at registration (--inverse-warp)"
            )
        return DenseField(self.inverse_displacement, self.grid, self.displacement)

    @cached_property
    def _limits(self) -> tuple[np.ndarray, np.ndarray]:
        # By layers first: numpy is slow where the last axis is short.
        layers = self.displacement.reshape(len(self.displacement), -1)
        least, most = layers.min(axis=0).reshape(-1, 3).min(axis=0), layers.max(axis=0).reshape(-1, 3).max(axis=0)
        return np.minimum(least, 0), np.maximum(most, 0)

    def reach(self, low: ArrayLike, high: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        least, most = self._limits
        return np.asarray(low) - most, np.asarray(high) - least


class Composite(Transform):
    """Several transforms, the first of the list applied first.

    Attributes:
        parts: The transforms, a tuple; composites among them are unpacked.
    """

    def __init__(self, parts: Iterable[Transform]) -> None:
        unpacked = (part.parts if isinstance(part, Composite) else (part,) for part in parts)
        self.parts: tuple[Transform, ...] = tuple(itertools.chain.from_iterable(unpacked))

    def apply(self, points: ArrayLike) -> np.ndarray:
        points = np.asarray(points, dtype=float)
        steps = [step for step in map(_step_of, self.parts) if step is not None]
        if len(steps) == len(self.parts) and sum(field is not None for _, field in steps) <= MOST_FIELDS:
            return through(points, steps, FACE)
        for part in self.parts:
            points = part.apply(points)
        return points

    def inverse(self) -> "Transform":
        return Composite([part.inverse() for part in reversed(self.parts)])

    def reach(self, low: ArrayLike, high: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        for part in reversed(self.parts):
            low, high = part.reach(low, high)
        return np.asarray(low), np.asarray(high)


def _step_of(part: Transform) -> Step | None:
    """A transform as `fields.through` takes it, or None for another kind."""
    if isinstance(part, Affine):
        return part.matrix[:3], None
    if isinstance(part, DenseField):
        return np.linalg.inv(part.grid.affine)[:3], part.displacement
    return None


def _check_field(displacement: ArrayLike, grid: Grid) -> np.ndarray:
    if not isinstance(grid, Grid):
        raise TypeError(f"a displacement field needs a Grid, got {type(grid).__name__}")
    displacement = np.ascontiguousarray(displacement, dtype=np.float32)
    if displacement.shape != (*grid.shape, 3):
        raise InputError(
            f"a displacement field on grid {grid.shape} must be {(*grid.shape, 3)}, got {displacement.shape}"
        )
    if not np.isfinite(displacement).all():
        raise InputError("a displacement field holds a NaN or an infinite number")
    return displacement
