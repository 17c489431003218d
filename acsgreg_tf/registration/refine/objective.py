"""The objective that refinement lowers, on one window of one grid, with its gradient.

    - LNCC(f, m o A o phi) + w_d distance(d_f, d_m o A o phi) + smoothness diffusion(phi) + w_f folds(phi)

f, m are the masked images; d_f, d_m the signed distances in voxels to the vertebrae's surfaces, cut at `reach`;
distance() is a rounded absolute difference, summed over the window and divided by the number of voxels near the fixed
surface. It pulls from as far as the distances reach and in proportion to the miss, where the overlap of two masks pulls
at their edges only: few steps are needed.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops
from scipy import ndimage

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.distance import from_crop
from acsgreg_tf.geometry.surface_affine import trusted_distance
from acsgreg_tf.losses import (
    Diffusion,
    SurfaceDistance,
    fixed_sums,
    foreground_windows,
    local_correlation,
    rounded_difference,
)
from acsgreg_tf.ops import Tensor, fields
from acsgreg_tf.ops import affine as affine_ops
from acsgreg_tf.ops.backend import value_and_gradients
from acsgreg_tf.registration.refine.box import Window

WINDOW = 7
# Beside LNCC (at most 1): chosen on people of the training shapes, docs/lab/refinement_experiments.md.
DISTANCE_WEIGHT = 6.0
FOLD_WEIGHT = 0.003
# A Jacobian determinant below this is pushed up.
FOLD_MARGIN = 0.2


@dataclass(frozen=True, eq=False)
class Subject:
    """One side of a pair on the full grid.

    Attributes:
        image: (X, Y, Z) float32 in [0, 1], masked.
        mask: (X, Y, Z) bool.
        distance: (X, Y, Z), signed distance to the surface in voxels, negative inside; None without a surface.
        seen: (X, Y, Z) bool, where it can be compared (`registration.trust`); None everywhere.
    """

    image: np.ndarray
    mask: np.ndarray
    distance: np.ndarray | None
    seen: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        image: np.ndarray,
        mask: np.ndarray | None = None,
        distance: np.ndarray | None = None,
        seen: np.ndarray | None = None,
    ) -> "Subject":
        """A Subject from an image and what is at hand beside it.

        Args:
            image: (X, Y, Z), masked, in [0, 1].
            mask: (X, Y, Z); None takes where the image is not 0.
            distance: As the attribute, where a more exact one than the mask's is at hand; a mask without a surface (all
                or nothing) has none.
            seen: As the attribute.

        Raises:
            InputError: The mask has another shape than the image.
        """
        mask = image != 0 if mask is None else np.asarray(mask) != 0
        if mask.shape != image.shape:
            raise InputError(f"refine: a mask must have the image's shape {image.shape}, got {mask.shape}")
        return cls(np.asarray(image, "float32"), mask, from_crop(mask) if distance is None else distance, seen)

    def trusted(self) -> np.ndarray | None:
        """How far the distance can be relied on, (X, Y, Z) float32 in [0, 1]; None wholly, or without a distance."""
        return None if self.distance is None else trusted_distance(self.distance, self.seen)

    def weight(self) -> np.ndarray | None:
        """How much each voxel counts, (X, Y, Z) float32 in [0, 1]: distances are trusted, windows hold nothing hidden.

        None where all voxels count in full.
        """
        if self.seen is None:
            return None
        windows = ndimage.binary_erosion(self.seen, iterations=WINDOW // 2, border_value=1).astype("float32")
        trusted = self.trusted()
        return windows if trusted is None else windows * trusted

    def volume(self, blur: float, reach: float) -> np.ndarray:
        """[X, Y, Z, 2]: the image, blurred, and the distance cut at `reach` (0 without one)."""
        image = ndimage.gaussian_filter(self.image, blur) if blur else self.image
        distance = np.zeros_like(image) if self.distance is None else np.clip(self.distance, -reach, reach)
        return np.stack([image, distance.astype("float32")], axis=-1)


def _compare(
    fixed: Tensor, warped: Tensor, counts: Tensor, sums: Tensor, count: Tensor, near: Tensor, weights: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """(value, [LNCC, distance]) of a window against the warped moving volume, both [1, x, y, z, 2].

    `counts`, [1, x, y, z, 1], says how much each voxel counts.
    """
    lncc = ops.sum(counts * local_correlation(fixed[..., :1], warped[..., :1], WINDOW, sums=sums)) / count
    distance = ops.sum(counts * rounded_difference(fixed[..., 1:], warped[..., 1:])) / near
    return -weights[0] * lncc + weights[1] * distance, [lncc, distance]


def _value(variables: tuple, constants: tuple, *, squarings: int) -> tuple[Tensor, Tensor]:
    velocity, affine = variables
    fixed, moving, counts, sums, count, near, weights, matrices, scale = constants
    coarse = fields.integrate(velocity, squarings)
    phi = fields.resize_by(coarse, matrices) * scale
    value, terms = _compare(fixed, affine_ops.warp_jointly(moving, affine, phi), counts, sums, count, near, weights)
    rough = ops.mean(Diffusion().call(phi, phi))
    folded = fields.fold_penalty(coarse, margin=FOLD_MARGIN)
    return value + weights[2] * rough + weights[3] * folded, ops.stack([*terms, rough, folded])


@functools.cache
def _function(squarings: int) -> Callable[..., Any]:
    return value_and_gradients(functools.partial(_value, squarings=squarings))


class Objective:
    """The objective on one window.

    Args:
        fixed, moving: The two sides.
        window: The part of the grid that is compared.
        smoothness: Weight of the mean squared gradient of phi (`losses.Diffusion`).
        squarings: Of the integration.
        blur: Of the images, in full voxels.
        reach: Of the distances, in full voxels.
        counts: (X, Y, Z) in [0, 1], how much each voxel of the full grid counts; None in full.
    """

    TERMS = ("lncc", "distance", "roughness", "folds")

    def __init__(
        self,
        fixed: Subject,
        moving: Subject,
        window: Window,
        smoothness: float,
        squarings: int,
        blur: float = 0.0,
        reach: float = 4.0,
        counts: np.ndarray | None = None,
    ) -> None:
        sides = tuple(round((n - 1) / step) + 1 for n, step in zip(window.full, window.step, strict=True))
        volumes = [
            ops.convert_to_numpy(fields.resize(ops.convert_to_tensor(subject.volume(blur, reach)[None]), sides))
            for subject in (fixed, moving)
        ]
        target = window.crop(volumes[0][0])[None]
        image = ops.convert_to_tensor(target[..., :1])
        surface = fixed.distance is not None and moving.distance is not None
        voxels = np.ones_like(target[..., :1])
        if counts is not None:
            resized = fields.resize(ops.convert_to_tensor(counts[None, ..., None].astype("float32")), sides)
            voxels = window.crop(ops.convert_to_numpy(resized)[0])[None]
        count = max(float(ops.sum(foreground_windows(image, WINDOW) * voxels)), 1.0)
        near = max(float(((np.abs(target[..., 1:]) < SurfaceDistance.NEAR) * voxels).sum()), 1.0)
        weights = np.array([1.0, DISTANCE_WEIGHT if surface else 0.0, smoothness, FOLD_WEIGHT], "float32")
        self.window = window
        self._function = _function(squarings)
        numbers = np.float32(count), np.float32(near), weights
        placed = tuple(m.astype("float32") for m in window.matrices), window.scale.astype("float32")
        self._constants = _as_tensors((target, volumes[1], voxels, fixed_sums(image, WINDOW), *numbers, *placed))

    def __call__(self, affine: np.ndarray, velocity: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """The objective's value and gradients.

        Args:
            affine: [3, 4], about the full grid's centre.
            velocity: [x, y, z, 3] in the box, lattice voxels.

        Returns:
            (value, terms as `TERMS`, gradient by the affine [3, 4], gradient by the velocity [x, y, z, 3]).
        """
        variables = np.asarray(velocity, "float32")[None], self.window.affine(affine)
        value, terms, gradients = self._function(tuple(map(ops.convert_to_tensor, variables)), self._constants)
        by_velocity, by_affine = (ops.convert_to_numpy(gradient) for gradient in gradients)
        return float(value), ops.convert_to_numpy(terms), self.window.affine_gradient(by_affine), by_velocity[0]


def _as_tensors(values: Any) -> Any:
    """Arrays in nested tuples, as tensors."""
    if isinstance(values, tuple):
        return tuple(_as_tensors(value) for value in values)
    return ops.convert_to_tensor(values)
