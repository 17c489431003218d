"""The affine that lays one vertebra's surface on another's: two signed distances matched.

It takes a fraction of a second and depends on the surfaces only, where a network's affine varies with the noise of its
input.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

__all__ = ["first_guess", "fit_affine"]

# Voxels to which distances are cut, one after the other: far ones pull from afar, near ones are swayed less by what
# only one of the two has. The last alone decides the result.
REACHES = (20.0, 10.0, 5.0)
STEP = 3  # voxels between the points that are compared
MOST_STEPS, TOLERANCE = 20, 1e-5  # of a fit; it ends where a step lowers the mean by less than this part
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


def fit_affine(
    fixed: np.ndarray, moving: np.ndarray, affine: np.ndarray | None = None, reaches: Sequence[float] | None = None
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
    """
    guess = first_guess(fixed, moving)
    if affine is not None:
        compare = _Comparison(fixed, moving, REACHES[-1])
        if compare.cost(affine) > compare.cost(guess):
            affine = None
    reaches = reaches or (REACHES if affine is None else REACHES[-1:])
    affine = np.array(guess if affine is None else affine, float)
    for reach in reaches:
        affine = _fit(fixed, moving, affine, reach, TOLERANCE if reach == reaches[-1] else 100 * TOLERANCE)
    return affine


def _fit(fixed: np.ndarray, moving: np.ndarray, affine: np.ndarray, reach: float, tolerance: float) -> np.ndarray:
    """One fit, by Levenberg and Marquardt's steps, which never mirror."""
    # scipy.optimize.least_squares comes to the same affine, within 2e-5 voxel, and takes five times as long.
    compare = _Comparison(fixed, moving, reach)
    entries = (affine / compare.scale).ravel()
    cost, misses = compare.misses(entries)
    normal, slope = compare.normal_equations(entries, misses)
    damping = 1e-3
    for _ in range(MOST_STEPS):
        least = damping * np.diag(normal) + len(misses) * 1e-9  # where there is no slope there is no step
        tried = entries - np.linalg.solve(normal + np.diag(least), slope)
        lower, tried_misses = compare.misses(tried)
        mirrored = np.linalg.det((tried.reshape(3, 4) * compare.scale)[:, :3]) <= 0
        if lower >= cost or mirrored:
            damping *= 10
            if damping > 1e3:
                break
            continue
        gain, cost, entries, damping = cost - lower, lower, tried, damping / 10
        if gain < tolerance * cost:
            break
        normal, slope = compare.normal_equations(entries, tried_misses)
    return entries.reshape(3, 4) * compare.scale


class _Comparison:
    """Two distances compared at points about the fixed surface.

    Entries are the twelve of an affine, each in voxels at the grid's borders.
    """

    def __init__(self, fixed: np.ndarray, moving: np.ndarray, reach: float) -> None:
        centre = (np.array(fixed.shape) - 1) / 2
        near = ndimage.find_objects((fixed < reach).astype(np.uint8))[0]
        axes = [np.arange(side.start, side.stop, STEP) for side in near]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3) - centre
        self.scale = np.append(1 / centre, 1.0)
        self._local = np.concatenate([points / centre, np.ones((len(points), 1))], axis=1).astype(np.float32)
        self._centre = centre.astype(np.float32)
        self._target = np.clip(fixed[np.ix_(*axes)], -reach, reach).astype(np.float32).ravel()
        self._moving = np.clip(moving, -reach, reach).astype(np.float32)
        self._slopes = np.gradient(self._moving)
        # Beyond the surface itself distances say how large a body is as much as where it lies.
        self._weight = 1 - (self._target / reach) ** 2
        self._kink = ROBUST * reach

    def _sampled(self, volume: np.ndarray, entries: np.ndarray) -> np.ndarray:
        at = self._local @ entries.reshape(3, 4).T.astype(np.float32) + self._centre
        return ndimage.map_coordinates(volume, at.T, np.float32, order=1, mode="nearest")

    def cost(self, affine: np.ndarray) -> float:
        """Robust mean square of the misses of an affine [3, 4]."""
        return self.misses((np.asarray(affine, float) / self.scale).ravel())[0]

    def misses(self, entries: np.ndarray) -> tuple[float, np.ndarray]:
        """(robust mean square, misses by point)."""
        misses = self._sampled(self._moving, entries) - self._target
        size = np.abs(misses)
        squares = np.where(size < self._kink, size**2, self._kink * (2 * size - self._kink))
        return float((self._weight * squares).mean()), misses

    def normal_equations(self, entries: np.ndarray, misses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of the misses' squares, those beyond the kink weighted down: (12, 12) and (12,)."""
        slopes = np.stack([self._sampled(slope, entries) for slope in self._slopes], axis=-1)
        columns = (slopes[:, :, None] * self._local[:, None, :]).reshape(-1, 12)
        weighted = columns * (self._weight * self._kink / np.maximum(np.abs(misses), self._kink))[:, None]
        return (weighted.T @ columns).astype(float), (weighted.T @ misses).astype(float)
