"""The smooth trend of a spine: the poses of its vertebrae blended by a log-Euclidean polyaffine transform.

Each vertebra has a linear map of its own; their logarithms, weighted by how near each vertebra is, make one stationary
velocity, whose flow is a diffeomorphism (Arsigny, Commowick, Ayache and Pennec, "A Fast and Log-Euclidean Polyaffine
Framework for Locally Linear Registration", J. Math. Imaging and Vision 33, 2009).
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from scipy import linalg, ndimage

from acsgreg_tf.geometry import Affine, Composite, Grid, field_from_network, network_grid
from acsgreg_tf.registration.deformation import Deformation

__all__ = ["Trend", "fit_trend", "rigid_of_all"]

# Edge of the lattice's voxels, mm.
SPACING = 4.0
# Millimetres from the nearest vertebra: the trend is left as it is up to the first, and is the identity from the second
# on.
NEAR, FAR = 25.0, 85.0
# Width of a vertebra's weight, in distances of neighbouring vertebrae.
WIDTH = 0.45
# Distance of neighbours where there is one vertebra alone, mm.
USUAL_DISTANCE = 35.0
INT_STEPS = 6
# Times that the logarithms are corrected until the flow meets each pose.
ROUNDS = 2


class Trend:
    """A flow on a coarse lattice.

    Attributes:
        deformation: The flow, its affine the identity.
        grid: Its lattice, RAS-oriented.

    Args:
        velocity: (X, Y, Z, 3) float32, stationary, voxels of `grid`.
        grid: As above.
    """

    def __init__(self, velocity: np.ndarray, grid: Grid) -> None:
        self.deformation = Deformation(np.eye(3, 4, dtype=np.float32), velocity, grid.shape, INT_STEPS)
        self.grid = grid

    @cached_property
    def forward(self) -> Composite:
        """exp(v), fixed RAS mm -> fixed RAS mm, without its inverse. Cached."""
        return Composite([field_from_network(self.deformation.part, self.grid)] * self.deformation.parts)

    @cached_property
    def transform(self) -> Composite:
        """exp(v) with its inverse. Computed lazily; cached."""
        part = field_from_network(self.deformation.part, self.grid, self.deformation.part_inverse)
        return Composite([part] * self.deformation.parts)

    def undo(self, points: np.ndarray, rounds: int = 2) -> np.ndarray:
        """The points (..., 3), RAS mm, that exp(v) as it is interpolated takes to these."""
        start = self.transform.inverse().apply(points)
        for _ in range(rounds):
            start += points - self.forward.apply(start)
        return start


def rigid_of_all(affines: Sequence[Affine], points: Sequence[np.ndarray]) -> Affine:
    """The rigid motion nearest to what several maps do, each to points of its own (least squares; Kabsch 1976).

    Args:
        affines: One for each vertebra, fixed RAS mm -> moving RAS mm.
        points: (N, 3) of each, fixed RAS mm.
    """
    fixed = np.concatenate(list(points))
    moving = np.concatenate([affine.apply(own) for affine, own in zip(affines, points, strict=True)])
    middles = fixed.mean(axis=0), moving.mean(axis=0)
    left, _, right = np.linalg.svd((moving - middles[1]).T @ (fixed - middles[0]))
    matrix = np.eye(4)
    matrix[:3, :3] = left @ np.diag([1, 1, np.sign(np.linalg.det(left @ right))]) @ right
    matrix[:3, 3] = middles[1] - matrix[:3, :3] @ middles[0]
    return Affine(matrix)


def fit_trend(affines: Mapping[str, Affine], points: Mapping[str, np.ndarray]) -> Trend:
    """The polyaffine flow that does to each vertebra, as nearly as a smooth flow can, what its map does.

    The logarithms are corrected until, on each vertebra's points, the flow's nearest affine is the vertebra's own.

    Args:
        affines: By level, fixed RAS mm -> fixed RAS mm, near the identity.
        points: (N, 3) by level, points all over the vertebra, fixed RAS mm.
    """
    grid = _lattice(points)
    blend = _Blend(grid, points)
    targets = [affines[level].matrix for level in points]
    logs = [np.real(linalg.logm(matrix)) for matrix in targets]
    for _ in range(ROUNDS):
        trend = Trend(blend.velocity(logs), grid)
        reached = [_nearest_affine(own, trend.forward.apply(own)) for own in points.values()]
        logs = [
            log + np.real(linalg.logm(target @ np.linalg.inv(there)))
            for log, target, there in zip(logs, targets, reached, strict=True)
        ]
    return Trend(blend.velocity(logs), grid)


class _Blend:
    """The weights of the vertebrae on a lattice."""

    def __init__(self, grid: Grid, points: Mapping[str, np.ndarray]) -> None:
        self.grid = grid
        self.nodes = grid.points().reshape(-1, 3)
        middles = np.array([own.mean(axis=0) for own in points.values()])
        steps = np.linalg.norm(np.diff(middles, axis=0), axis=1)
        width = WIDTH * (float(np.median(steps)) if len(steps) else USUAL_DISTANCE)
        squares = ((self.nodes[:, None] - middles) ** 2).sum(axis=-1) / (2 * width**2)
        weights = np.exp(squares.min(axis=1, keepdims=True) - squares)
        self.weights = weights / weights.sum(axis=1, keepdims=True) * self._fade(points)[:, None]

    def _fade(self, points: Mapping[str, np.ndarray]) -> np.ndarray:
        bone = np.zeros(self.grid.shape, bool)
        index = np.rint(self.grid.points_to_index(np.concatenate(list(points.values())))).astype(int)
        bone[tuple(index.T)] = True
        distance = ndimage.distance_transform_edt(~bone, sampling=SPACING).ravel()
        weight = np.clip((FAR - distance) / (FAR - NEAR), 0, 1)
        return weight**2 * (3 - 2 * weight)

    def velocity(self, logs: Sequence[np.ndarray]) -> np.ndarray:
        total = np.zeros_like(self.nodes)
        for weight, log in zip(self.weights.T, logs, strict=True):
            total += weight[:, None] * (self.nodes @ log[:3, :3].T + log[:3, 3])
        return (total.reshape(*self.grid.shape, 3) / SPACING).astype(np.float32)


def _lattice(points: Mapping[str, np.ndarray]) -> Grid:
    all_points = np.concatenate(list(points.values()))
    low, high = all_points.min(axis=0), all_points.max(axis=0)
    shape = np.ceil((high - low + 2 * FAR) / SPACING).astype(int) + 3
    return network_grid((low + high) / 2, tuple(int(side) for side in shape), SPACING)


def _nearest_affine(points: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The 4x4 matrix that takes points (N, 3) nearest to their images (N, 3), least squares."""
    middle = points.mean(axis=0)
    columns, *_ = np.linalg.lstsq(np.c_[points - middle, np.ones(len(points))], images, rcond=None)
    matrix = np.eye(4)
    matrix[:3, :3] = columns[:3].T
    matrix[:3, 3] = columns[3] - columns[:3].T @ middle
    return matrix
