"""The affine that lays one vertebra's surface on another's: two signed distances matched.

It takes a fraction of a second and depends on the surfaces only, where a network's affine varies with the noise of its
input.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from acsgreg_tf import fields
from acsgreg_tf.geometry.boxes import bounding_box
from acsgreg_tf.geometry.linear_kinds import KINDS, nearest_of_kind

__all__ = ["Trust", "first_guess", "fit_affine", "misfit", "trusted_distance"]

# Voxels to which distances are cut, one after the other: far ones pull from afar, near ones are swayed less by what
# only one of the two has. The last alone decides the result.
REACHES = (20.0, 10.0, 5.0)
STEP = 3  # voxels between the points that are compared
MOST_STEPS, TOLERANCE = 20, 1e-5  # of a fit; it ends where a step lowers the mean by less than this part
TRUST_ROUNDS = 5  # of a fit, where which points count depends on the affine
ROBUST = 0.25  # of a reach; a larger difference of distances counts by its size, not by its square (Huber 1964)


def first_guess(fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Centroids laid on each other and volumes made equal, [3, 4] about the centre of the grid.

    Args:
        fixed: Signed distance (X, Y, Z), negative inside, with voxels inside.
        moving: Likewise, of the same shape.
    """
    masks = [distance < 0 for distance in (fixed, moving)]
    centre = (np.array(fixed.shape) - 1) / 2
    middles = [np.array(ndimage.center_of_mass(mask)) - centre for mask in masks]
    size = np.clip((masks[1].sum() / masks[0].sum()) ** (1 / 3), 0.7, 1.4)
    return np.concatenate([size * np.eye(3), (middles[1] - size * middles[0])[:, None]], axis=1)


class Trust(NamedTuple):
    """Where two distances can be relied on, each (X, Y, Z) from 0 (nowhere) to 1, or None for everywhere."""

    fixed: np.ndarray | None = None
    moving: np.ndarray | None = None


def trusted_distance(distance: np.ndarray, seen: np.ndarray | None) -> np.ndarray | None:
    """How far a signed distance can be relied on, (X, Y, Z) float32 in [0, 1], or None for wholly, everywhere.

    Args:
        distance: Signed, (X, Y, Z), voxels.
        seen: (X, Y, Z) bool, where the surface is seen: one that is hidden may be nearer than the one in sight.
    """
    if seen is None:
        return None
    # A cut face lies half a voxel before the first voxel that is not seen, and is rounded by half a voxel more.
    return np.clip(ndimage.distance_transform_edt(seen) - np.abs(distance) - 1, 0, 1).astype(np.float32)


def fit_affine(
    fixed: np.ndarray,
    moving: np.ndarray,
    affine: np.ndarray | None = None,
    reaches: Sequence[float] | None = None,
    *,
    kind: str = "affine",
    trust: Trust | None = None,
) -> np.ndarray:
    """The affine that takes the fixed surface to the moving one, [3, 4] float64.

    It minimises a robust mean of (d_m(A x) - d_f(x))^2 over the points x about the fixed surface, distances cut at a
    reach, and the nearer ones weighted more. What leaves the surface as it is (a ball that turns) stays as it was at
    the start. It never mirrors.

    Args:
        fixed: Signed distance (X, Y, Z) in voxels, negative inside, with voxels inside.
        moving: Likewise, of the same shape.
        affine: Where to start, [3, 4], voxels about the grid's centre; None is `first_guess`, which also takes the
            place of a start that is worse than it.
        reaches: One fit for each, voxels; None takes `REACHES`, or from a good start the last of them.
        kind: What it may be: "rigid", "similarity" (one scale for all axes) or "affine".
        trust: Points that count less, or not at all; None trusts all.
    """
    trust = trust or Trust()
    guess = nearest_of_kind(first_guess(fixed, moving), kind)
    if affine is not None:
        compare = _Comparison(fixed, moving, REACHES[-1], trust)
        affine = nearest_of_kind(affine, kind)
        if compare.cost(affine) > compare.cost(guess):
            affine = None
    reaches = reaches or (REACHES if affine is None else REACHES[-1:])
    affine = np.array(guess if affine is None else affine, float)
    for reach in reaches:
        compare = _Comparison(fixed, moving, reach, trust)
        for _ in range(1 if trust.moving is None else TRUST_ROUNDS):
            compare.weigh(affine)
            affine = _fit(compare, affine, kind, TOLERANCE if reach == reaches[-1] else 100 * TOLERANCE)
    return affine


def misfit(fixed: np.ndarray, moving: np.ndarray, reach: float) -> float:
    """The robust mean square, squared voxels, by which two surfaces miss when a similarity lays them on each other.

    Args:
        fixed: As in `fit_affine`.
        moving: Likewise.
        reach: To which distances are cut, voxels; the fit starts with twice as much.
    """
    affine = fit_affine(fixed, moving, reaches=(2 * reach, reach), kind="similarity")
    return _Comparison(fixed, moving, reach, Trust()).cost(affine)


def _fit(compare: "_Comparison", affine: np.ndarray, kind: str, tolerance: float) -> np.ndarray:
    """One fit, by Levenberg and Marquardt's steps, which never mirror."""
    # scipy.optimize.least_squares comes to the same affine, within 2e-5 voxel, and takes five times as long.
    cost, misses = compare.misses(affine)
    normal, slope = compare.normal_equations(affine, misses, kind)
    damping = 1e-3
    for _ in range(MOST_STEPS):
        least = damping * np.diag(normal) + len(misses) * 1e-9  # where there is no slope there is no step
        step = compare.directions(affine, kind) @ np.linalg.solve(normal + np.diag(least), slope)
        tried = nearest_of_kind(affine - step.reshape(3, 4) * compare.scale, kind)
        lower, tried_misses = compare.misses(tried)
        if lower >= cost or np.linalg.det(tried[:, :3]) <= 0:
            damping *= 10
            if damping > 1e3:
                break
            continue
        gain, cost, affine, damping = cost - lower, lower, tried, damping / 10
        if gain < tolerance * cost:
            break
        normal, slope = compare.normal_equations(affine, tried_misses, kind)
    return affine


class _Comparison:
    """Two distances compared at points about the fixed surface, through affines [3, 4] in voxels."""

    def __init__(self, fixed: np.ndarray, moving: np.ndarray, reach: float, trust: Trust) -> None:
        centre = (np.array(fixed.shape) - 1) / 2
        near = bounding_box(fixed < reach)
        axes = [np.arange(side.start, side.stop, STEP) for side in near]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3) - centre
        # Entries of an affine count in voxels at the grid's borders.
        self.scale = np.append(1 / centre, 1.0)
        self._local = np.concatenate([points / centre, np.ones((len(points), 1))], axis=1).astype(np.float32)
        self._centre = centre.astype(np.float32)
        self._target = np.clip(fixed[np.ix_(*axes)], -reach, reach).astype(np.float32).ravel()
        moving = np.clip(moving, -reach, reach).astype(np.float32)
        self._moving, self._slopes = moving[..., None], np.stack(np.gradient(moving), axis=-1)
        # Beyond the surface itself distances say how large a body is as much as where it lies.
        self._near = 1 - (self._target / reach) ** 2
        if trust.fixed is not None:
            self._near = self._near * trust.fixed[np.ix_(*axes)].ravel()
        self._weights = self._near
        self._trust = None if trust.moving is None else trust.moving[..., None]
        self._kink = ROBUST * reach

    def _sampled(self, volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """A volume [X, Y, Z, C] where the affine takes the points: (N, C)."""
        return fields.sample(volume, self._local @ (affine / self.scale).T.astype(np.float32) + self._centre)

    def weigh(self, affine: np.ndarray) -> None:
        """Let points count as the moving distance can be relied on where an affine takes them."""
        if self._trust is not None:
            self._weights = self._near * self._sampled(self._trust, affine)[:, 0]

    def cost(self, affine: np.ndarray) -> float:
        """Robust mean square of the misses."""
        self.weigh(affine)
        return self.misses(affine)[0]

    def misses(self, affine: np.ndarray) -> tuple[float, np.ndarray]:
        """(robust mean square, misses by point)."""
        misses = self._sampled(self._moving, affine)[:, 0] - self._target
        size = np.abs(misses)
        squares = np.where(size < self._kink, size**2, self._kink * (2 * size - self._kink))
        return float((self._weights * squares).sum() / max(self._weights.sum(), 1e-6)), misses

    def normal_equations(self, affine: np.ndarray, misses: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
        """Of the misses' squares, those beyond the kink weighted down, in the kind's n directions: (n, n) and (n,)."""
        slopes = self._sampled(self._slopes, affine)
        columns = (slopes[:, :, None] * self._local[:, None, :]).reshape(-1, 12)
        columns = columns @ self.directions(affine, kind).astype(np.float32)
        weighted = columns * (self._weights * self._kink / np.maximum(np.abs(misses), self._kink))[:, None]
        return (weighted.T @ columns).astype(float), (weighted.T @ misses).astype(float)

    def directions(self, affine: np.ndarray, kind: str) -> np.ndarray:
        """The kind's directions, in the affine's entries: (12, n)."""
        return KINDS[kind](affine) / np.tile(self.scale, 3)[:, None] if kind != "affine" else np.eye(12)
