"""The objective that refinement lowers, on one window of one grid, with its gradient.

    - LNCC(f, m o A o phi) + w_d distance(d_f, d_m o A o phi) + smoothness diffusion(phi) + w_f folds(phi)

f, m are the masked images; d_f, d_m the signed distances in voxels to the vertebrae's surfaces, cut at `reach`;
distance() is a rounded absolute difference, summed over the window and divided by the number of voxels near the fixed
surface. It pulls from as far as the distances reach and in proportion to the miss, where the overlap of two masks pulls
at their edges only: few steps are needed. With the parts of both vertebrae there is one term more (`refine.parts`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from acsgreg_tf import fields
from acsgreg_tf.errors import InputError
from acsgreg_tf.fields import gradients
from acsgreg_tf.fields.windows import box_sum, correlation_gradient
from acsgreg_tf.geometry.distance import from_crop
from acsgreg_tf.geometry.surface_affine import trusted_distance
from acsgreg_tf.registration.refine.box import Window
from acsgreg_tf.registration.refine.parts import PartsTerm

WINDOW = 7
# Beside LNCC (at most 1): chosen on people of the training shapes, docs/lab/refinement_experiments.md.
DISTANCE_WEIGHT = 6.0
FOLD_WEIGHT = 0.003
# A Jacobian determinant below this is pushed up.
FOLD_MARGIN = 0.2
# Distance, in voxels, within which a voxel is near the surface.
NEAR = 2.0
# What an objective without parts is made of.
TERMS = ("lncc", "distance", "roughness", "folds")


@dataclass(frozen=True, eq=False)
class Subject:
    """One side of a pair on the full grid.

    Attributes:
        image: (X, Y, Z) float32 in [0, 1], masked.
        mask: (X, Y, Z) bool.
        distance: (X, Y, Z), signed distance to the surface in voxels, negative inside; None without a surface.
        seen: (X, Y, Z) bool, where it can be compared (`registration.trust`); None everywhere.
        parts: By part, the signed distance to its surface, (X, Y, Z) in voxels (`registration.part_distances`).
    """

    image: np.ndarray
    mask: np.ndarray
    distance: np.ndarray | None
    seen: np.ndarray | None = None
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        image: np.ndarray,
        mask: np.ndarray | None = None,
        distance: np.ndarray | None = None,
        seen: np.ndarray | None = None,
        parts: Mapping[str, np.ndarray] | None = None,
    ) -> "Subject":
        """A Subject from an image and what is at hand beside it.

        Args:
            image: (X, Y, Z), masked, in [0, 1].
            mask: (X, Y, Z); None takes where the image is not 0.
            distance: As the attribute, where a more exact one than the mask's is at hand; a mask without a surface (all
                or nothing) has none.
            seen: As the attribute.
            parts: As the attribute; None for none.

        Raises:
            InputError: The mask has another shape than the image.
        """
        mask = image != 0 if mask is None else np.asarray(mask) != 0
        if mask.shape != image.shape:
            raise InputError(f"refine: a mask must have the image's shape {image.shape}, got {mask.shape}")
        distance = from_crop(mask) if distance is None else distance
        return cls(np.asarray(image, "float32"), mask, distance, seen, parts or {})

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
        parts: The term of the two sides' parts; None for none.
    """

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
        parts: PartsTerm | None = None,
    ) -> None:
        target, self._moving = (window.resized(subject.volume(blur, reach)) for subject in (fixed, moving))
        target = window.crop(target)
        self._image, self._distance = (np.ascontiguousarray(target[..., n]) for n in (0, 1))
        self._counts = window.counts(counts)
        self._sums = tuple(box_sum(power, WINDOW) for power in (self._image, self._image**2))
        reached = box_sum((self._image != 0).astype(np.float32), WINDOW) > 0.5
        self._windows = self._counts / max(float((reached * self._counts).sum()), 1.0)
        near = np.abs(self._distance) < NEAR
        self._near = self._counts / max(float((near * self._counts).sum()), 1.0)
        surface = fixed.distance is not None and moving.distance is not None
        self._weights = np.array([-1.0, DISTANCE_WEIGHT if surface else 0.0, smoothness, FOLD_WEIGHT])
        self.window, self._squarings, self._parts = window, squarings, parts
        self.terms = TERMS if parts is None else (*TERMS, "parts")

    def __call__(self, affine: np.ndarray, velocity: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """The objective's value and gradients.

        Args:
            affine: [3, 4], about the full grid's centre.
            velocity: [x, y, z, 3] in the box, lattice voxels.

        Returns:
            (value, terms as `terms`, gradient by the affine [3, 4], gradient by the velocity [x, y, z, 3]).
        """
        window, here = self.window, self.window.affine(affine)
        stages = gradients.integrated(velocity, self._squarings)
        coarse = stages[-1]
        scale = window.scale.astype("float32")
        phi = fields.resize(coarse * scale, window.places)
        warped = fields.warp_jointly(self._moving, here, phi)

        upstream = np.empty_like(warped)
        lncc, by_image = correlation_gradient(
            self._image, np.ascontiguousarray(warped[..., 0]), self._windows, WINDOW, self._sums
        )
        distance, by_distance = gradients.rounded_difference(warped[..., 1], self._distance, self._near)
        np.multiply(by_image, self._weights[0], out=upstream[..., 0], casting="same_kind")
        np.multiply(by_distance, self._weights[1], out=upstream[..., 1], casting="same_kind")
        rough, by_phi = gradients.roughness(phi, self._weights[2])
        by_affine = gradients.warp_jointly_gradient(self._moving, here, phi, upstream, by_phi)
        by_phi = fields.resize_adjoint(by_phi, window.places, coarse.shape[:3]) * scale
        folded, by_coarse = gradients.fold_penalty(coarse, FOLD_MARGIN)
        by_phi += np.float32(self._weights[3]) * by_coarse
        terms = np.array([lncc, distance, rough, folded])
        value, by_affine = float(self._weights @ terms), window.affine_gradient(by_affine)
        if self._parts is not None:
            missed, by_part_affine, by_part_phi = self._parts(affine, coarse)
            terms = np.append(terms, missed)
            value += self._parts.weight * missed
            by_affine = by_affine + self._parts.weight * by_part_affine
            by_phi += np.float32(self._parts.weight) * by_part_phi
        return value, terms, by_affine, gradients.integrate_gradient(stages, by_phi)
