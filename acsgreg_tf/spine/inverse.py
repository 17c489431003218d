"""The inverse of a displacement made of steps, and smoother steps where it misses by too much."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from acsgreg_tf import fields, metrics
from acsgreg_tf.registration.inverse_error import places_around
from acsgreg_tf.spine.local import cells_near, clear_of_folds, folded_together, passed, smooth_at, solve_inverse_at
from acsgreg_tf.spine.places import Spread, near_mask, near_voxels
from acsgreg_tf.spine.steps import Map

__all__ = ["chained", "inverse_of", "invertible_steps"]

FIXED_POINTS = 5
# Voxels by which an inverse may miss at its own voxels before Newton's method takes over.
OPEN = 0.02
# Determinants of an inverse step stay above this.
CLEAR = 0.05
# So do those of all steps together with what follows them.
CLEAR_TOGETHER = 0.02
# Voxels (mm) that the inverse may miss by, within 5 mm of a vertebra and between voxels too.
MOST = 0.4
# Of the steps that a place passes, those are smoothed whose inverse misses by this share of the most.
WORST = 0.6
# Rounds of smoothing, and corrections of the inverses in each.
ROUNDS, BALANCES = 24, 4
# Voxels round a place that is missed within which the inverses are corrected.
AROUND = 6


def inverse_of(step: np.ndarray) -> np.ndarray:
    """The displacement of a step's inverse, (X, Y, Z, 3) float32, voxels, without folds.

    Args:
        step: (X, Y, Z, 3) float32, voxels, without folds and zero at the faces.
    """
    backward = -step
    for _ in range(FIXED_POINTS):
        backward = backward - fields.compose(step, backward)
    missed = (np.abs(fields.compose(step, backward)) > OPEN).any(axis=-1)
    solve_inverse_at(backward, step, np.flatnonzero(missed))
    return clear_of_folds(fields.balance_inverse(backward, step), CLEAR)


def chained(steps: Sequence[np.ndarray], places: np.ndarray) -> list[np.ndarray]:
    """Places (N, 3), voxels, before the first step, after it, ..., after the last."""
    way = [places]
    for step in steps:
        way.append(way[-1] + fields.sample(step, way[-1]))
    return way


def invertible_steps(
    steps: list[np.ndarray], bone: np.ndarray, then: Map, then_back: Map, pool: ThreadPoolExecutor
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Steps whose inverses miss by `MOST` at most about the bones, and which do not fold together, and their inverses.

    A step is smoothed where places pass that its inverse misses most, in a neighbourhood that grows with the rounds.

    Args:
        steps: (X, Y, Z, 3) float32, voxels, none of which folds; they are changed in place.
        bone: (X, Y, Z) bool, all vertebrae.
        then: What follows the steps, from places (N, 3), voxels, to places.
        then_back: Its inverse.
        pool: Threads to work in, a step in each.

    Returns:
        (steps, inverses), in the steps' order.
    """
    inverses = list(pool.map(inverse_of, steps))
    everywhere = places_around(bone)

    def missed(places: np.ndarray) -> np.ndarray:
        misses = passed(inverses[::-1], then_back(then(passed(steps, places)))) - places
        return places[(misses**2).sum(axis=1) > MOST**2]

    folded = folded_together(steps, _steep_cells(steps), CLEAR_TOGETHER, then)
    bad = missed(everywhere)
    if len(bad):
        _balance_about(steps, inverses, bad, _near(everywhere, bad, bone.shape), pool)
        bad = missed(everywhere)
    for round_ in range(ROUNDS):
        if not len(bad) + len(folded):
            # What was corrected may have spoiled what is beside it.
            bad = missed(everywhere)
            if not len(bad):
                break
        changed = np.concatenate([bad, folded + 0.5])
        _smooth_along(steps, inverses, changed, 1 + round_ // 4, pool)
        near = _near(everywhere, changed, bone.shape)
        _balance_about(steps, inverses, changed, near, pool)
        _each(pool, _clear_about, inverses, chained(steps, changed)[1:])
        bad = missed(near)
        folded = folded_together(steps, cells_near(changed, AROUND, bone.shape), CLEAR_TOGETHER, then)
    return steps, inverses


def _each(pool: ThreadPoolExecutor, function: Callable, *arguments: Sequence) -> None:
    """Call a function for each step, side by side; it changes what belongs to that step alone."""
    for _ in pool.map(function, *arguments):
        pass


def _clear_about(inverse: np.ndarray, there: np.ndarray) -> None:
    clear_of_folds(inverse, CLEAR, cells_near(there, AROUND, inverse.shape[:3]))


def _near(everywhere: np.ndarray, places: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Those of many places within `AROUND` of some."""
    return everywhere[near_mask(places, AROUND, shape)[tuple(everywhere.astype(int).T)]]


def _steep_cells(steps: Sequence[np.ndarray]) -> np.ndarray:
    """The cells that may fold when they pass all steps: where all together they change by much."""
    total = steps[0]
    for step in steps[1:]:
        total = fields.compose(step, total)
    return np.argwhere(metrics.folded_cells(total, 0.2))


def _smooth_along(
    steps: list[np.ndarray], inverses: list[np.ndarray], places: np.ndarray, reach: int, pool: ThreadPoolExecutor
) -> None:
    """Smooth the steps where places pass that their inverses miss, and solve the inverses anew there."""
    way = chained(steps, places)
    pairs = zip(inverses, way[:-1], way[1:], strict=True)
    misses = np.array(
        [np.linalg.norm(there + fields.sample(inverse, there) - here, axis=1) for inverse, here, there in pairs]
    )
    worst = misses >= WORST * misses.max(axis=0)

    def smooth(number: int) -> None:
        here, there = (places[worst[number]] for places in (way[number], way[number + 1]))
        if len(here):
            smooth_at(steps[number], here, reach)
            solve_inverse_at(inverses[number], steps[number], near_voxels(there, reach + 4, steps[number].shape[:3]))

    _each(pool, smooth, range(len(steps)))


def _balance_about(
    steps: Sequence[np.ndarray],
    inverses: Sequence[np.ndarray],
    places: np.ndarray,
    near: np.ndarray,
    pool: ThreadPoolExecutor,
) -> None:
    """Spread the inverses' errors over the voxels about places, in place, so that they are small between voxels too.

    Args:
        steps: The steps.
        inverses: Theirs.
        places: About which voxels change.
        near: All places within `AROUND` of them; those at the rim count but their own voxels stay.
        pool: Threads to work in.
    """
    way = chained(steps, near)

    def balance(inverse: np.ndarray, here: np.ndarray, there: np.ndarray, middle: np.ndarray) -> None:
        spread = Spread(there, inverse.shape[:3])
        inner = near_mask(middle, AROUND - 3, inverse.shape[:3])
        for _ in range(BALANCES):
            spread.add(inverse, here - there - fields.sample(inverse, there), inner)

    _each(pool, balance, inverses, way[:-1], way[1:], chained(steps, places)[1:])
