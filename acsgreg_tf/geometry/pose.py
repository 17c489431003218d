"""What an affine does, in numbers that people use: angles, translation and stretches."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from acsgreg_tf.geometry.transforms import Affine

__all__ = ["Pose", "pose_of"]


@dataclass(frozen=True)
class Pose:
    """The parts of an affine: x -> rotation(stretch(x - about)) + about + translation, RAS mm.

    Attributes:
        rotation_deg: Angles about the x (to the right), y (forward) and z (up) axes of the world, degrees. The rotation
            is Rz Ry Rx: first about x, then about y, then about z, each about the fixed axes, counterclockwise as seen
            from the axis's tip.
        angle_deg: The whole rotation's angle, degrees.
        translation_mm: Where the point `about` goes, less where it was, mm.
        stretches: The three factors by which lengths change along the stretch's own axes, ascending.
        mirrors: Whether left and right change over.
    """

    rotation_deg: tuple[float, float, float]
    angle_deg: float
    translation_mm: tuple[float, float, float]
    stretches: tuple[float, float, float]
    mirrors: bool

    def summary(self) -> dict[str, object]:
        """For a metrics file."""
        return {
            "rotation_deg": list(self.rotation_deg),
            "angle_deg": self.angle_deg,
            "translation_mm": list(self.translation_mm),
            "stretches": list(self.stretches),
        }


def pose_of(affine: Affine, about: ArrayLike) -> Pose:
    """The pose of an affine (its polar decomposition: rotation after a symmetric stretch).

    Args:
        affine: RAS mm.
        about: The point (3,) about which it is seen, RAS mm: angles do not depend on it, the translation does.
    """
    matrix = affine.matrix[:3, :3]
    left, stretches, right = np.linalg.svd(matrix)
    mirrors = bool(np.linalg.det(matrix) < 0)
    rotation = Rotation.from_matrix(left @ right * (-1 if mirrors else 1))
    angles = rotation.as_euler("xyz", degrees=True)
    moved = affine.apply(about) - np.asarray(about, float)
    return Pose(
        rotation_deg=_three(angles),
        angle_deg=float(np.degrees(rotation.magnitude())),
        translation_mm=_three(moved),
        stretches=_three(stretches[::-1]),
        mirrors=mirrors,
    )


def _three(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z
