"""The term of refinement that lays each part of a vertebra (arch, body, processes) on its partner.

The mean over the parts that both sides have of the distance term between their surfaces (`refine.objective`). It is
computed on the velocity's own grid, at 2 mm as a rule: distances are smooth, and ten of them cost as much there as one
on the images' grid.
"""

from collections.abc import Mapping

import numpy as np

from acsgreg_tf.fields.surface_misses import surface_misses
from acsgreg_tf.registration.refine.box import Window

# Distance, in full voxels, within which a voxel is near a part's surface.
NEAR = 2.0


class PartsTerm:
    """Mean miss of the parts that both sides have, in full voxels, with its gradients.

    Args:
        fixed: By part, the signed distance to its surface, (X, Y, Z) on the full grid, in voxels.
        moving: Those of the other side; at least one part is in both.
        window: The box on the velocity's grid.
        weight: Of the term in the objective.
        counts: (X, Y, Z) in [0, 1], how much each voxel of the full grid counts; None in full.
    """

    def __init__(
        self,
        fixed: Mapping[str, np.ndarray],
        moving: Mapping[str, np.ndarray],
        window: Window,
        weight: float,
        counts: np.ndarray | None = None,
    ) -> None:
        self.names = [name for name in fixed if name in moving]
        target, self._moving = (
            np.ascontiguousarray(window.resized(np.stack([side[name] for name in self.names], axis=-1)))
            for side in (fixed, moving)
        )
        self._fixed = np.ascontiguousarray(window.crop(target))
        self._counts = window.counts(counts)
        near = ((np.abs(self._fixed) < NEAR) * self._counts[..., None]).sum(axis=(0, 1, 2), dtype=float)
        self._weights = 1 / (np.maximum(near, 1.0) * len(self.names))
        self.window, self.weight = window, weight

    @classmethod
    def of(
        cls,
        fixed: Mapping[str, np.ndarray],
        moving: Mapping[str, np.ndarray],
        window: Window,
        weight: float,
        counts: np.ndarray | None = None,
    ) -> "PartsTerm | None":
        """The term, or None where it weighs nothing or no part is on both sides; arguments as of the class."""
        if not weight or not any(name in moving for name in fixed):
            return None
        return cls(fixed, moving, window, weight, counts)

    def __call__(self, affine: np.ndarray, displacement: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """The mean miss and its gradients.

        Args:
            affine: [3, 4], about the full grid's centre.
            displacement: [x, y, z, 3] in the window, voxels of the velocity's grid.

        Returns:
            (value, gradient by the affine [3, 4], gradient by the displacement [x, y, z, 3]).
        """
        here = self.window.affine(affine)
        value, by_affine, by_displacement = surface_misses(
            self._moving, self._fixed, self._weights, self._counts, here, displacement
        )
        return value, self.window.affine_gradient(by_affine), by_displacement
