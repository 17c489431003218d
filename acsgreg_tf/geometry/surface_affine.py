"""The affine that lays one vertebra's surface on another's: two signed distances matched.

It is found in a fraction of a second and depends on the surfaces only: where a network's affine is a good guess that moves with
the noise of its input, this one stays.
"""

import numpy as np
from scipy import ndimage

__all__ = ["first_guess", "fit_affine"]

# Voxels to which distances are cut, one after the other: far ones pull from afar, near ones are swayed less by what only one of
# the two has. The last alone decides the answer.
REACHES = (20.0, 10.0, 5.0)
STEP = 3  # voxels between the points that are compared
MOST_STEPS, TOLERANCE = 20, 1e-5  # of a fit; it ends where a step lowers the mean by less than this part
ROBUST = 0.25  # of a reach; a larger difference of distances counts by its size, not by its square (Huber 1964)


def first_guess(fixed, moving):
    """Centroids laid on each other and volumes made equal, [3, 4] about the centre of the grid.

    Args:
        fixed, moving: signed distances (X, Y, Z), negative inside, each with voxels inside.
    """
    masks = [distance < 0 for distance in (fixed, moving)]
    centre = (np.array(fixed.shape) - 1) / 2
    places = [np.array(ndimage.center_of_mass(mask)) - centre for mask in masks]
    size = np.clip((masks[1].sum() / masks[0].sum()) ** (1 / 3), 0.7, 1.4)
    return np.concatenate([size * np.eye(3), (places[1] - size * places[0])[:, None]], axis=1)


def fit_affine(fixed, moving, affine=None, reaches=None):
    """The affine that takes the fixed surface to the moving one, [3, 4] float64.

    It minimises a robust mean of (d_m(A x) - d_f(x))^2 over the points x about the fixed surface, distances cut at a reach, and
    the nearer ones weighted more. What leaves the surface as it is (a ball that turns) stays as it was at the start. It never
    mirrors.

    Args:
        fixed, moving: signed distances (X, Y, Z) in voxels, negative inside, each with voxels inside; of one shape.
        affine: where to start, [3, 4], voxels about the grid's centre; None is `first_guess`, which also takes the place of a
            start that is worse than it.
        reaches: one fit for each, voxels; None takes `REACHES`, or from a good start the last of them.
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


def _fit(fixed, moving, affine, reach, tolerance):
    """One fit, by Levenberg and Marquardt's steps."""
    compare = _Comparison(fixed, moving, reach)
    entries = (affine / compare.scale).ravel()
    cost, misses = compare.misses(entries)
    normal, slope = compare.normal_equations(entries, misses)
    damping = 1e-3
    for _ in range(MOST_STEPS):
        least = damping * np.diag(normal) + len(misses) * 1e-9  # where there is no slope there is no step
        tried = entries - np.linalg.solve(normal + np.diag(least), slope)
        lower, found = compare.misses(tried)
        mirrored = np.linalg.det((tried.reshape(3, 4) * compare.scale)[:, :3]) <= 0
        if lower >= cost or mirrored:
            damping *= 10
            if damping > 1e3:
                break
            continue
        gain, cost, entries, damping = cost - lower, lower, tried, damping / 10
        if gain < tolerance * cost:
            break
        normal, slope = compare.normal_equations(entries, found)
    return entries.reshape(3, 4) * compare.scale


class _Comparison:
    """What is compared: points about the fixed surface. Twelve entries of an affine, each in voxels at the grid's borders."""

    def __init__(self, fixed, moving, reach):
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

    def _sampled(self, volume, entries):
        at = self._local @ entries.reshape(3, 4).T.astype(np.float32) + self._centre
        return ndimage.map_coordinates(volume, at.T, np.float32, order=1, mode="nearest")

    def cost(self, affine):
        """Robust mean square of the misses of an affine [3, 4]."""
        return self.misses((np.asarray(affine, float) / self.scale).ravel())[0]

    def misses(self, entries):
        """(robust mean square, misses by point)."""
        found = self._sampled(self._moving, entries) - self._target
        size = np.abs(found)
        squares = np.where(size < self._kink, size**2, self._kink * (2 * size - self._kink))
        return float((self._weight * squares).mean()), found

    def normal_equations(self, entries, misses):
        """Of the misses' squares, those beyond the kink weighted down: (12, 12) and (12,)."""
        slopes = np.stack([self._sampled(slope, entries) for slope in self._slopes], axis=-1)
        columns = (slopes[:, :, None] * self._local[:, None, :]).reshape(-1, 12)
        weighted = columns * (self._weight * self._kink / np.maximum(np.abs(misses), self._kink))[:, None]
        return (weighted.T @ columns).astype(float), (weighted.T @ misses).astype(float)
