"""How each vertebra moved, and each against the one below it, in angles and millimetres about anatomical axes.

The convention, in short: from the fixed scan to the moving one; about the axes of the fixed vertebra (of a segment, of
its lower vertebra) to the right, forward and up (`anatomy.axes`). The rotation is R = Rx Ry Rz with x to the right, y
forward and z up: first flexion, about the axis that stays, then bending about the turned forward axis, then axial
rotation, about the vertebra's own long axis (the order of the ISB's recommendation: Wu et al., J. Biomechanics 35,
2002). Flexion counts forward, bending to the right, rotation to the left.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from acsgreg_tf.anatomy.axes import Axes
from acsgreg_tf.geometry import Affine
from acsgreg_tf.geometry.linear_kinds import nearest_of_kind
from acsgreg_tf.io.tables import write_table

__all__ = ["COLUMNS", "Motion", "motion_of", "motions", "rigid_part", "write_poses"]

COLUMNS = (
    *("name", "kind", "flexion_deg", "right_bending_deg", "left_rotation_deg", "angle_deg"),
    *("right_mm", "anterior_mm", "superior_mm"),
)


@dataclass(frozen=True)
class Motion:
    """A rigid motion in anatomical terms.

    Attributes:
        name: A level, or a segment such as "L1-L2".
        kind: "level" or "segment".
        flexion_deg: Turn about the axis to the right, positive forward.
        right_bending_deg: Turn about the axis forward, positive where the upper end goes to the right.
        left_rotation_deg: Turn about the axis up, positive where the front goes to the left.
        angle_deg: The whole rotation's angle.
        right_mm, anterior_mm, superior_mm: Where the body's middle goes, along the axes.
    """

    name: str
    kind: str
    flexion_deg: float
    right_bending_deg: float
    left_rotation_deg: float
    angle_deg: float
    right_mm: float
    anterior_mm: float
    superior_mm: float

    def summary(self) -> dict[str, Any]:
        """For a metrics file, without name and kind."""
        return {column: getattr(self, column) for column in COLUMNS[2:]}

    def row(self) -> dict[str, Any]:
        """For a table, numbers to a thousandth."""
        return {"name": self.name, "kind": self.kind} | {name: f"{v:.3f}" for name, v in self.summary().items()}


def rigid_part(affine: Affine, about: np.ndarray) -> Affine:
    """The rotation of an affine (polar decomposition), with its translation of one point (3,), RAS mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = nearest_of_kind(affine.matrix[:3], "rigid")[:, :3]
    matrix[:3, 3] = affine.apply(about) - matrix[:3, :3] @ about
    return Affine(matrix)


def motion_of(name: str, kind: str, rigid: Affine, axes: Axes, about: np.ndarray) -> Motion:
    """A rigid motion about axes.

    Args:
        name: What moves.
        kind: "level" or "segment".
        rigid: RAS mm -> RAS mm.
        axes: Whose directions count.
        about: The point (3,), RAS mm, whose translation counts.
    """
    turn = Rotation.from_matrix(axes.matrix.T @ rigid.matrix[:3, :3] @ axes.matrix)
    x, y, z = turn.as_euler("XYZ", degrees=True)
    right, anterior, superior = axes.matrix.T @ (rigid.apply(about) - about)
    angle = float(np.degrees(turn.magnitude()))
    return Motion(name, kind, -x, y, z, angle, float(right), float(anterior), float(superior))


def motions(affines: Mapping[str, Affine], axes: Mapping[str, Axes], whole: Sequence[str]) -> list[Motion]:
    """The motion of each level, and of each against the next one below it.

    Args:
        affines: By level, head to foot, fixed RAS mm -> moving RAS mm; their rigid parts count.
        axes: Of the fixed vertebrae.
        whole: All levels that there are, head to foot: a segment is two levels that follow each other in it.
    """
    rigid = {level: rigid_part(affine, axes[level].centre) for level, affine in affines.items()}
    table = [motion_of(level, "level", motion, axes[level], axes[level].centre) for level, motion in rigid.items()]
    for upper, lower in zip(list(rigid)[:-1], list(rigid)[1:], strict=True):
        if whole.index(lower) - whole.index(upper) != 1:
            continue
        # The upper vertebra as it is seen from the lower one, which stays.
        relative = Affine(np.linalg.inv(rigid[lower].matrix) @ rigid[upper].matrix)
        table.append(motion_of(f"{upper}-{lower}", "segment", relative, axes[lower], axes[upper].centre))
    return table


def write_poses(path: str | os.PathLike, table: Sequence[Motion]) -> None:
    """Write motions as a CSV file with `COLUMNS`; whole or not at all.

    Raises:
        InputError: The place cannot be written.
    """
    write_table(path, COLUMNS, [motion.row() for motion in table])
