"""Refinement of one pair: from a start, or from nothing, to the affine and velocity that lower the objective.

Coarse to fine: the first steps compare blurred images on the velocity's own grid, the others the full images. Adam,
on a gradient smoothed in space (a Sobolev gradient: Neuberger 1997; in registration Zhang and Fletcher 2019), with a
rate that falls along each stage.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.surface_affine import Trust, fit_affine
from acsgreg_tf.registration.clock import StepProgress
from acsgreg_tf.registration.deformation import Deformation
from acsgreg_tf.registration.refine import (
    DEFAULT_PARTS_WEIGHT,
    DEFAULT_SMOOTHNESS,
    FULL_STEPS,
    check_parts_weight,
    check_smoothness,
    check_steps,
)
from acsgreg_tf.registration.refine.adam import Adam
from acsgreg_tf.registration.refine.box import Box, Window
from acsgreg_tf.registration.refine.objective import TERMS, Objective, Subject
from acsgreg_tf.registration.refine.parts import PartsTerm
from acsgreg_tf.registration.refine.result import Refined
from acsgreg_tf.registration.trust import pulled

# Squarings while optimising, at most; a step of v / 32 is short enough, and the result is integrated with the network's
# own number.
SQUARINGS = 5
# Adam's rates: of the velocity in voxels of its grid; of an affine's entries (a translation counts in half sides).
VELOCITY_RATE, AFFINE_RATE = 0.2, 0.001
# In its last quarter, where the rate is low, a stage ends when so many steps together lower its objective by less than
# this.
PATIENCE, TOLERANCE = 10, 1e-3
# Smoothing of the gradient, in voxels of the velocity's grid, coarse and fine.
COARSE_SIGMA, FINE_SIGMA = 0.6, 0.4
# How far distances reach in the fine steps, in full voxels: near ones leave alone the voxels round a surface, whose
# distances change with any stretch.
FINE_REACH = 2.0
# Coarse steps at most: more of them, which compare blurred images, leave a rougher field than the fine ones can smooth
# again.
MOST_COARSE = 27


@dataclass(frozen=True)
class Coarse:
    """The coarse steps, which cost less than half as much as the fine ones.

    Attributes:
        share: Of all steps.
        least: How many at least, up to half of all.
        reach: How far distances reach, in full voxels.
    """

    share: float
    least: int
    reach: float

    def steps(self, steps: int) -> int:
        """How many of all steps are coarse."""
        return min(max(int(self.share * steps), min(self.least, steps // 2)), MOST_COARSE)


# Far distances pull from afar; after a network there is little left to pull.
FROM_NOTHING, ONWARD = Coarse(share=0.55, least=0, reach=4.0), Coarse(share=0.17, least=3, reach=2.0)


def refine(
    fixed: Subject,
    moving: Subject,
    *,
    affine: np.ndarray | None = None,
    velocity: np.ndarray | None = None,
    steps: int = FULL_STEPS,
    smoothness: float = DEFAULT_SMOOTHNESS,
    parts_weight: float = DEFAULT_PARTS_WEIGHT,
    int_steps: int = 7,
    progress: StepProgress | None = None,
) -> Refined:
    """Lower the objective for one pair, by its affine and its velocity.

    Args:
        fixed: The fixed side.
        moving: The moving side, of the same shape.
        affine: Where to start, [3, 4], voxels about the grid's centre. None fits it to the surfaces
            (`geometry.surface_affine`), or is the identity where a side shows none.
        velocity: Where to start, [x, y, z, 3]; None is zero, at half resolution.
        steps: Some of them coarse; it stops early where it converges. 0 fits the affine only, where there is none.
        smoothness: Weight of the mean squared gradient of the displacement, beside LNCC's 1. Larger is smoother: it
            costs overlap in the last tenths of a millimetre, for gentler Jacobians and a more exact inverse.
        parts_weight: Weight of the parts that both sides have (`refine.parts`); 0 leaves them out.
        int_steps: Squarings of the result's integration.
        progress: Called as progress(done, total, objective) after each step.

    Returns:
        Refined. Never worse than the start; `registration.folds` removes what folds are left. Ctrl-C ends it early,
        with the best so far.

    Raises:
        InputError: A step count, a smoothness or a weight below 0, or shapes that do not go together.
    """
    check_steps(steps)
    check_smoothness(smoothness)
    check_parts_weight(parts_weight)
    if fixed.image.shape != moving.image.shape:
        raise InputError(f"refine: fixed and moving must have one shape, got {fixed.image.shape}, {moving.image.shape}")
    if affine is not None and np.shape(affine) != (3, 4):
        raise InputError(f"refine: an affine must be (3, 4), got {np.shape(affine)}")
    if velocity is None:
        velocity = np.zeros((*(max(side // 2, 2) for side in fixed.image.shape), 3), "float32")
    elif np.ndim(velocity) != 4 or np.shape(velocity)[3] != 3 or min(np.shape(velocity)[:3]) < 2:
        raise InputError(f"refine: a velocity must be (x, y, z, 3), sides of 2 at least, got {np.shape(velocity)}")
    velocity = np.array(velocity, "float32")
    descent = _Descent(
        fixed, moving, velocity, int(steps), min(int_steps, SQUARINGS), smoothness, parts_weight, progress
    )
    try:
        descent.run(affine)
    except KeyboardInterrupt:
        descent.stop()
    return descent.result(int_steps)


@dataclass(frozen=True, eq=False)
class _State:
    """Affine and velocity with their objective on the full images."""

    value: float
    terms: np.ndarray
    affine: np.ndarray
    velocity: np.ndarray


class _Descent:
    """One refinement: its current affine and velocity, and the best seen on the full images."""

    def __init__(
        self,
        fixed: Subject,
        moving: Subject,
        velocity: np.ndarray,
        steps: int,
        squarings: int,
        smoothness: float,
        parts_weight: float,
        progress: StepProgress | None,
    ) -> None:
        self.fixed, self.moving, self.velocity = fixed, moving, velocity
        self.box = Box(fixed.mask, velocity.shape[:3])
        self.steps, self.smoothness, self.progress = steps, smoothness, progress
        self.parts_weight, self.squarings = parts_weight, squarings
        self.taken, self.stopped = 0, False
        self.affine = np.eye(3, 4)
        self.start: float | None = None
        self.best: _State | None = None
        self.fine: Objective | None = None

    def run(self, affine: np.ndarray | None) -> None:
        """Fit the affine where there is none, then take the coarse and the fine steps."""
        if affine is not None:
            self.affine = np.array(affine, float)
        elif self.fixed.distance is not None and self.moving.distance is not None:
            trust = Trust(self.fixed.trusted(), self.moving.trusted())
            self.affine = fit_affine(self.fixed.distance, self.moving.distance, trust=trust)
        if not self.steps:
            return
        self.start = self._evaluate()
        coarse = ONWARD if self.velocity.any() else FROM_NOTHING
        coarse_steps = coarse.steps(self.steps) if self.box.lattice != self.box.full else 0
        if coarse_steps:
            objective = self._objective(self.box.coarse(), 1.0, coarse.reach)
            self._descend(objective, coarse_steps, COARSE_SIGMA, record=False)
        self._descend(self._fine_objective(), self.steps - coarse_steps, FINE_SIGMA, record=True)
        self._evaluate()

    def stop(self) -> None:
        """End early; what the coarse steps reached, which compare other images, is considered too."""
        self.stopped = True
        if self.start is not None:
            self._evaluate()

    def _objective(self, window: Window, blur: float, reach: float) -> Objective:
        counts = self._counts()
        parts = PartsTerm.of(self.fixed.parts, self.moving.parts, self.box.coarse(), self.parts_weight, counts)
        return Objective(self.fixed, self.moving, window, self.smoothness, self.squarings, blur, reach, counts, parts)

    def _counts(self) -> np.ndarray | None:
        """How much each voxel counts as the two lie now, (X, Y, Z): not where a side shows nothing. None: all."""
        fixed, moving = self.fixed.weight(), self.moving.weight()
        if moving is None:
            return fixed
        moving = pulled(moving, Deformation(self.affine, self.velocity, self.box.full, self.squarings))
        return moving if fixed is None else fixed * moving

    def _fine_objective(self) -> Objective:
        if self.fine is None:
            self.fine = self._objective(self.box.fine(), 0.0, FINE_REACH)
        return self.fine

    def _evaluate(self) -> float:
        """The objective on the full images at the current affine and velocity."""
        value, terms, _, _ = self._fine_objective()(self.affine, self.velocity[self.box.inside])
        self._record(value, terms)
        return value

    def _record(self, value: float, terms: np.ndarray) -> None:
        """Remember the current affine and velocity if they are the best so far."""
        if np.isfinite(value) and (self.best is None or value < self.best.value):
            self.best = _State(value, terms, self.affine.copy(), self.velocity.copy())

    def _descend(self, objective: Objective, steps: int, sigma: float, record: bool) -> None:
        by_velocity, by_affine = Adam(VELOCITY_RATE), Adam(AFFINE_RATE)
        scale, inside, taper = _half_sides(self.box.full), self.box.inside, self.box.taper()
        least, since = np.inf, 0
        for i in range(steps):
            value, terms, affine_gradient, gradient = objective(self.affine, self.velocity[inside])
            if record:
                self._record(value, terms)
            least, since = (value, 0) if value < least - TOLERANCE else (least, since + 1)
            if since >= PATIENCE and i >= 0.75 * steps:
                break
            rate = 1 - 0.8 * i / steps  # from 1 to a fifth
            gradient = ndimage.gaussian_filter(gradient, (sigma, sigma, sigma, 0), mode="nearest")
            self.velocity[inside] -= taper * (rate * by_velocity.step(gradient)).astype("float32")
            self.affine = self.affine - rate * scale * by_affine.step(affine_gradient * scale)
            self.taken += 1
            if self.progress is not None:
                self.progress(self.taken, self.steps, value)

    def result(self, int_steps: int) -> Refined:
        names = TERMS if self.fine is None else self.fine.terms
        best = self.best or _State(np.nan, np.full(len(names), np.nan), self.affine, self.velocity)
        return Refined(
            deformation=Deformation(best.affine.astype("float32"), best.velocity, self.box.full, int_steps),
            start=float(best.value if self.start is None else self.start),
            end=float(best.value),
            terms=dict(zip(names, map(float, best.terms), strict=True)),
            steps=self.taken,
            smoothness=self.smoothness,
            stopped=self.stopped,
        )


def _half_sides(full: tuple[int, ...]) -> np.ndarray:
    """Scale of an affine's entries by which all twelve have the same reach, [3, 4]: an offset times it is in voxels."""
    half = (np.array(full) - 1) / 2
    return np.concatenate([half[:, None] / half[None, :], half[:, None]], axis=1)
