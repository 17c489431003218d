"""The outcome of a refinement."""

from dataclasses import dataclass

import numpy as np

from acsgreg_tf.registration.deformation import Deformation


@dataclass(frozen=True, eq=False)
class Refined:
    """A refined deformation, and how its objective went down.

    Attributes:
        deformation: The best one seen; its phi may fold, where `registration.folds` goes on from it.
        start, end: The objective on the full images, before and after; end <= start. NaN without deformable steps, or
            where it was stopped before the first.
        terms: The objective's parts at the end, by name.
        steps: How many steps were taken.
        smoothness: Weight of the displacement's mean squared gradient.
        stopped: Whether Ctrl-C ended it early.
    """

    deformation: Deformation
    start: float
    end: float
    terms: dict[str, float]
    steps: int
    smoothness: float
    stopped: bool

    @property
    def affine(self) -> np.ndarray:
        """[3, 4] float32, voxels about the full grid's centre."""
        return self.deformation.affine

    @property
    def velocity(self) -> np.ndarray:
        """[x, y, z, 3] float32, stationary, voxels of its own grid."""
        return self.deformation.velocity
