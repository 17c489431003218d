"""Refinement of one pair: from a start, or from nothing, to the affine and velocity that lower the objective.

Coarse to fine: a little more than half of the steps, and 27 at most, compare blurred images on the velocity's own grid, the
others the full images. Adam, on a gradient smoothed in space (a Sobolev gradient: Neuberger 1997; in registration Zhang and
Fletcher 2019), with a rate that falls along the stage.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from keras import ops
from scipy import ndimage

from acsgreg_tf import metrics
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.surface_affine import fit_affine
from acsgreg_tf.ops import fields
from acsgreg_tf.registration.refine import DEFAULT_SMOOTHNESS, DEFAULT_STEPS
from acsgreg_tf.registration.refine.box import Box
from acsgreg_tf.registration.refine.objective import Objective, Subject

# Squarings while optimising; a step of v / 32 is short enough, and the answer is integrated with the network's own number.
SQUARINGS = 5
# Share of the steps that are coarse (they cost less than half as much), and how many at most: more of them, which compare
# blurred images, leave a rougher field than the fine ones can smooth again.
COARSE_SHARE, COARSE_MOST = 0.55, 27
# Adam's rates: of the velocity in voxels of its grid; of an affine's entries (a translation counts in half sides).
VELOCITY_RATE, AFFINE_RATE = 0.2, 0.001
# In its last quarter, where the rate is low, a stage ends when so many steps together lower its objective by less than this.
PATIENCE, TOLERANCE = 10, 1e-3
# How far distances reach, in full voxels, coarse and fine: far ones pull from far, near ones leave alone the voxels round a
# surface, whose distances change with any stretch.
COARSE_REACH, FINE_REACH = 4.0, 2.0
# Smoothing of the gradient, in voxels of the velocity's grid, coarse and fine.
COARSE_SIGMA, FINE_SIGMA = 1.0, 0.6


@dataclass(frozen=True, eq=False)
class Refined:
    """What a refinement found.

    Attributes:
        affine: [3, 4] float32, voxels about the full grid's centre.
        velocity: [x, y, z, 3] float32, stationary, voxels of its own grid.
        start, end: the objective on the full images, before and after; end <= start unless folds had to be smoothed out. NaN
            where no deformable step was asked for, or Ctrl-C came before the first.
        terms: the objective's parts at the end, by name.
        steps: how many steps were taken.
        stopped: Ctrl-C ended it early; this is the best so far.
    """

    affine: np.ndarray
    velocity: np.ndarray
    start: float
    end: float
    terms: dict
    steps: int
    stopped: bool


class _Adam:
    """Adam (Kingma and Ba 2015) with a memory short enough for some tens of steps."""

    def __init__(self, rate, first=0.8, second=0.9):
        self.rate, self.first, self.second = rate, first, second
        self.mean = self.square = 0.0
        self.count = 0

    def step(self, gradient):
        self.count += 1
        self.mean = self.first * self.mean + (1 - self.first) * gradient
        self.square = self.second * self.square + (1 - self.second) * gradient**2
        mean = self.mean / (1 - self.first**self.count)
        return self.rate * mean / (np.sqrt(self.square / (1 - self.second**self.count)) + 1e-12)


def _fall(done):
    """The rate along a stage: from 1 to a fifth."""
    return 1 - 0.8 * done


def _half_sides(full):
    """Scale of an affine's entries that gives all twelve the same reach, [3, 4]: an offset times it is in voxels."""
    half = (np.array(full) - 1) / 2
    return np.concatenate([half[:, None] / half[None, :], half[:, None]], axis=1)


def refine(
    fixed,
    moving,
    *,
    fixed_mask=None,
    moving_mask=None,
    fixed_distance=None,
    moving_distance=None,
    affine=None,
    velocity=None,
    steps=DEFAULT_STEPS,
    smoothness=DEFAULT_SMOOTHNESS,
    int_steps=7,
    progress=None,
):
    """Lower the objective for one pair, by its affine and its velocity.

    Args:
        fixed, moving: images (X, Y, Z), masked, in [0, 1].
        fixed_mask, moving_mask: (X, Y, Z) bool; None takes where the image is not 0.
        fixed_distance, moving_distance: signed distances (X, Y, Z) in voxels, negative inside, where finer ones are at hand than
            the masks give (`data.shapes.from_crop`).
        affine, velocity: the start, as a network gives them ([3, 4]; [x, y, z, 3]). Without a velocity it starts at zero, at half
            resolution; without an affine that is fitted to the surfaces first (`data.affine_fit`), or is the identity where an
            image shows none.
        steps: a little more than half of them coarse (27 at most); fewer are taken where it converges before. 0 fits the affine
            only, where there is none.
        smoothness: weight of the mean squared gradient of the displacement, beside LNCC's 1. Larger is smoother: it costs
            overlap in the last tenths of a millimetre and gives gentler Jacobians and a more exact inverse.
        int_steps: squarings with which the answer is checked for folds.
        progress: called as progress(done, total, objective) after each step.

    Returns:
        Refined. Where the start is better than all that was found, it is the start. Its exp(v) does not fold: where any
        determinant is not positive (forward differences, and the ten of `metrics.non_diffeomorphic_volume`), the velocity
        is smoothed there until none is left.

    Raises:
        InputError: a step count or smoothness below 0, or shapes that do not go together.
    """
    if not (np.isfinite(steps) and steps >= 0 and int(steps) == steps):
        raise InputError(f"refine: the number of steps must be a whole number and not negative, got {steps}")
    if not (np.isfinite(smoothness) and smoothness >= 0):
        raise InputError(f"smoothness must be a number and not negative, got {smoothness}")
    if fixed.shape != moving.shape:
        raise InputError(f"refine: fixed and moving must have one shape, got {fixed.shape} and {moving.shape}")
    pairs = (fixed, fixed_mask), (moving, moving_mask)
    masks = [image != 0 if mask is None else np.asarray(mask) != 0 for image, mask in pairs]
    for mask in masks:
        if mask.shape != fixed.shape:
            raise InputError(f"refine: a mask must have the images' shape {fixed.shape}, got {mask.shape}")
    if affine is not None and np.shape(affine) != (3, 4):
        raise InputError(f"refine: an affine must be (3, 4), got {np.shape(affine)}")
    if velocity is not None and (np.ndim(velocity) != 4 or np.shape(velocity)[3] != 3):
        raise InputError(f"refine: a velocity must be (x, y, z, 3), got {np.shape(velocity)}")
    distances = fixed_distance, moving_distance
    fixed, moving = (Subject.of(*side) for side in zip((fixed, moving), masks, distances, strict=True))
    if velocity is None:
        velocity = np.zeros((*(max(side // 2, 2) for side in fixed.image.shape), 3), "float32")
    run = _Run(fixed, moving, masks[0], np.array(velocity, "float32"), int(steps), smoothness, progress)
    try:
        run.fit(affine)
    except KeyboardInterrupt:
        run.stop()
    return run.answer(int_steps)


class _Run:
    """One refinement: where it is, and the best that it saw on the full images."""

    def __init__(self, fixed, moving, mask, velocity, steps, smoothness, progress):
        self.fixed, self.moving, self.velocity = fixed, moving, velocity
        self.box = Box(mask, velocity.shape[:3])
        self.steps, self.smoothness, self.progress = steps, smoothness, progress
        self.taken, self.stopped = 0, False
        self.affine, self.start, self.best, self.fine = np.eye(3, 4), None, None, None

    def _tick(self, value):
        self.taken += 1
        if self.progress is not None:
            self.progress(self.taken, self.steps, value)

    def _objective(self, window, blur, reach):
        return Objective(self.fixed, self.moving, window, self.smoothness, SQUARINGS, blur, reach)

    def fit(self, affine):
        surfaces = self.fixed.distance, self.moving.distance
        if affine is not None:
            self.affine = np.array(affine, float)
        elif all(distance is not None for distance in surfaces):
            self.affine = fit_affine(*surfaces)
        if not self.steps:
            return
        self.fine = self._objective(self.box.fine(), 0.0, FINE_REACH)
        self.start = self._see()
        coarse_steps = min(int(COARSE_SHARE * self.steps), COARSE_MOST) if self.box.lattice != self.box.full else 0
        if coarse_steps:
            self._descend(self._objective(self.box.coarse(), 1.0, COARSE_REACH), coarse_steps, COARSE_SIGMA, False)
        self._descend(self.fine, self.steps - coarse_steps, FINE_SIGMA, True)
        self._see()

    def stop(self):
        """End early; the coarse steps, which compare other images, count too."""
        self.stopped = True
        if self.start is not None:
            self._see()

    def _see(self):
        """The objective where the run is; kept if it is the least so far."""
        value, terms, _, _ = self.fine(self.affine, self.velocity[self.box.inside])
        self._keep(value, terms)
        return value

    def _keep(self, value, terms):
        if np.isfinite(value) and (self.best is None or value < self.best[0]):
            self.best = value, terms, self.affine.copy(), self.velocity.copy()

    def _descend(self, objective, steps, sigma, keep):
        by_velocity, by_affine = _Adam(VELOCITY_RATE), _Adam(AFFINE_RATE)
        scale, inside, taper = _half_sides(self.box.full), self.box.inside, self.box.taper()
        least, since = np.inf, 0
        for i in range(steps):
            value, terms, affine_gradient, gradient = objective(self.affine, self.velocity[inside])
            if keep:
                self._keep(value, terms)
            least, since = (value, 0) if value < least - TOLERANCE else (least, since + 1)
            if since >= PATIENCE and i >= 0.75 * steps:
                break
            rate = _fall(i / steps)
            gradient = ndimage.gaussian_filter(gradient, (sigma, sigma, sigma, 0), mode="nearest")
            self.velocity[inside] -= taper * (rate * by_velocity.step(gradient)).astype("float32")
            self.affine = self.affine - rate * scale * by_affine.step(affine_gradient * scale)
            self._tick(value)

    def answer(self, int_steps):
        value, terms, affine, velocity = self.best or (np.nan, np.full(4, np.nan), self.affine, self.velocity)
        velocity, smoothed = without_folds(velocity, self.box.full, int_steps)
        if smoothed and self.steps:
            if self.fine is None:
                self.fine = self._objective(self.box.fine(), 0.0, FINE_REACH)
            value, terms, _, _ = self.fine(affine, velocity[self.box.inside])
        return Refined(
            affine=affine.astype("float32"),
            velocity=velocity,
            start=float(value if self.start is None else self.start),
            end=float(value),
            terms=dict(zip(Objective.TERMS, map(float, terms), strict=True)),
            steps=self.taken,
            stopped=self.stopped,
        )


def without_folds(velocity, full, int_steps=7, rounds=40):
    """A velocity [x, y, z, 3] whose exp(v), on the full grid, folds nowhere; (velocity, whether it had to be changed).

    Where a determinant is not positive the velocity is smoothed, in a neighbourhood that grows from round to round; what
    still folds after so many rounds is weakened as a whole too.
    """
    changed = False
    for i in itertools.count():
        phi = fields.resize_displacement(fields.integrate(ops.convert_to_tensor(velocity[None]), int_steps), full)
        folded = metrics.folded_cells(ops.convert_to_numpy(phi)[0])
        if not folded.any():
            break
        changed = True
        step = [(f - 1) / (n - 1) for f, n in zip(full, velocity.shape[:3], strict=True)]
        where = np.zeros(velocity.shape[:3], bool)
        index = np.rint(np.argwhere(folded) / step).astype(int)
        where[tuple(index.T)] = True
        near = ndimage.binary_dilation(where, iterations=2 + i // 2)
        weight = ndimage.gaussian_filter(near.astype("float32"), 1.0)[..., None]
        smooth = ndimage.gaussian_filter(velocity, (0.7, 0.7, 0.7, 0), mode="nearest")
        velocity = velocity + weight * (smooth - velocity)
        if i >= rounds:
            velocity = 0.8 * velocity
    return velocity, changed
