"""A displacement that is given on each of several bones, as a few steps one after the other, none of which folds.

Every vertebra moves along straight lines; a step is a part of the way. Where a step goes between the vertebrae is a
mean of where each would take the place, weighted by the inverse of the distance to each as it lies then (polyrigid
motions along a path: Arsigny, Pennec and Ayache, "Polyrigid and Polyaffine Transformations", Medical Image Analysis 9,
2005). On the vertebrae's voxels the step is then made exact, as far as neighbours that touch and slide allow. Steps are
short since joints slide by millimetres within a voxel, which one displacement cannot do without folds.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import ndimage

from acsgreg_tf import fields
from acsgreg_tf.fields.kernels import in_slabs, kernel
from acsgreg_tf.fields.sampling import at
from acsgreg_tf.spine.bones import FAR, NEAR, Region
from acsgreg_tf.spine.local import clear_of_folds
from acsgreg_tf.spine.places import Spread

__all__ = ["steps_of"]

# Voxels between the places at which a vertebra's displacement is looked up outside of it.
COARSE = 2
# Beyond this distance a vertebra has no weight, mm; what it moves by is less than the difference to FAR.
REACH = FAR + 6.0
# Up to this distance from a vertebra, mm, its own displacement counts nearly alone: there its surface is decided.
SKIN = 1.25
# A step may be so long where the vertebrae move farthest, mm (99th percentile), and there are so many at most.
STEP_MM, MOST_STEPS = 1.5, 4
# Times that a step is corrected on the vertebrae, and by how much a place is moved at most, mm.
CORRECTIONS, MOST_CORRECTION = 3, 0.5
# Determinants of a step stay above this.
CLEAR = 0.1

# From points (..., 3), RAS mm, to where a vertebra's transform takes them, RAS mm.
Map = Callable[[np.ndarray], np.ndarray]


class _Way:
    """One vertebra's way: where each place about it goes, along straight lines."""

    def __init__(self, region: Region, number: int, goal: Map) -> None:
        self.start, stop = region.around(number)
        self.box = tuple(slice(a, b) for a, b in zip(self.start, stop, strict=True))
        self.distance = ndimage.distance_transform_edt(region.labels[self.box] != number).astype(np.float32)
        axes = [np.arange(0, side + COARSE, COARSE) for side in stop - self.start]
        self.nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).astype(np.float32)
        points = region.grid.index_to_points(self.nodes + self.start)
        self.displacement = (region.grid.points_to_index(goal(points)) - self.nodes - self.start).astype(np.float32)

    def moves(self, time: float, length: float) -> np.ndarray:
        """How the places about the vertebra go in a step that begins at a time, on the coarse nodes.

        Args:
            time: From 0 to 1.
            length: Of the step, a part of the whole way.

        Returns:
            (x, y, z, 6) float32, voxels: from each node back to where it comes from, and where it goes in the step.
        """
        origin: np.ndarray = self.nodes
        for _ in range(5 if time else 0):
            origin = self.nodes - time * self._displaced(origin)
        return np.concatenate([origin - self.nodes, self._displaced(origin) * length], axis=-1)

    def _displaced(self, places: np.ndarray) -> np.ndarray:
        return fields.sample(self.displacement, places.reshape(-1, 3) / COARSE).reshape(places.shape).astype(np.float32)


def steps_of(region: Region, goals: Sequence[Map], pool: ThreadPoolExecutor) -> list[np.ndarray]:
    """Displacements on the region's grid that together take each vertebra to its goal.

    Args:
        region: With the vertebrae.
        goals: Where each vertebra's voxels go, and what is about it, as far as it is seen; RAS mm -> RAS mm.
        pool: Threads to work in.

    Returns:
        One to `MOST_STEPS` arrays (X, Y, Z, 3) float32, voxels, the first applied first. None of them folds, and each
        is zero from `FAR` on.
    """
    numbers = range(1, len(goals) + 1)
    start = [region.skin(number) for number in numbers]
    ends = list(pool.map(lambda voxels, goal: _index_of(region, voxels, goal), start, goals))
    ways = list(pool.map(lambda number, goal: _Way(region, number, goal), numbers, goals))
    places, way = np.concatenate(start).astype(float), np.concatenate(ends) - np.concatenate(start)
    farthest = np.quantile(np.linalg.norm(way, axis=1), 0.99)
    count = int(np.clip(np.ceil(farthest / STEP_MM), 1, MOST_STEPS))
    steps = []
    first = places.copy()
    for number in range(count):
        step = _between(region, ways, number / count, 1 / count, pool)
        wanted = first + (number + 1) / count * way - places
        step = clear_of_folds(_exact(step, places, wanted), CLEAR)
        places = places + fields.sample(step, places)
        steps.append(step)
    return steps


def _index_of(region: Region, voxels: np.ndarray, goal: Map) -> np.ndarray:
    return region.grid.points_to_index(goal(region.grid.index_to_points(voxels)))


def _between(region: Region, ways: Sequence[_Way], time: float, length: float, pool: ThreadPoolExecutor) -> np.ndarray:
    """A step as the weighted mean of what each vertebra would do, fading to zero with the distance from all."""
    total = np.zeros((*region.grid.shape, 3), np.float32)
    weights = np.zeros(region.grid.shape, np.float32)
    nearest = np.full(region.grid.shape, REACH, np.float32)
    for way, moves in zip(ways, pool.map(lambda way: way.moves(time, length), ways), strict=True):
        about = (volume[way.box] for volume in (total, weights, nearest))
        in_slabs(_add_way, len(way.distance), way.distance[..., None], moves, *about)
    fade = np.clip((FAR - nearest) / (FAR - NEAR), 0, 1)
    fade = fade**2 * (3 - 2 * fade) / np.maximum(weights, 1e-6)
    total *= fade[..., None]
    return total


@kernel
def _add_way(
    distance: np.ndarray,
    moves: np.ndarray,
    total: np.ndarray,
    weights: np.ndarray,
    nearest: np.ndarray,
    start: int,
    stop: int,
) -> None:
    """Add one vertebra's weighted displacements to the total of its box, and its weights to theirs."""
    move, apart = np.empty(6, np.float32), np.empty(1, np.float32)
    for i in range(start, stop):
        for j in range(distance.shape[1]):
            for k in range(distance.shape[2]):
                if distance[i, j, k, 0] >= REACH:
                    continue
                at(moves, i / COARSE, j / COARSE, k / COARSE, move)
                at(distance, i + move[0], j + move[1], k + move[2], apart)
                weight = max(1 / max(apart[0] - SKIN, 0.1) - 1 / REACH, 0.0)
                for n in range(3):
                    total[i, j, k, n] += weight * move[3 + n]
                weights[i, j, k] += weight
                nearest[i, j, k] = min(nearest[i, j, k], apart[0])


def _exact(step: np.ndarray, places: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """A step (X, Y, Z, 3), changed at the voxels round some places (N, 3) so that it moves them as wanted (N, 3).

    Each voxel moves by the weighted mean of what is missing at the places beside it, as in SIRT (Gilbert 1972).
    """
    spread = Spread(places, step.shape[:3])
    for _ in range(CORRECTIONS):
        missing = wanted - fields.sample(step, places)
        length = np.linalg.norm(missing, axis=1, keepdims=True)
        spread.add(step, missing * np.minimum(1, MOST_CORRECTION / np.maximum(length, 1e-6)))
    return step
