"""Points through several maps one after the other, in one pass: what a whole CT is moved by."""

from collections.abc import Sequence

import numpy as np

from acsgreg_tf.fields.kernels import in_slabs, kernel
from acsgreg_tf.fields.sampling import as_volume, at

__all__ = ["MOST_FIELDS", "Step", "through"]

# A kernel takes so many fields, so that one is compiled for all chains.
MOST_FIELDS = 8

# A matrix [3, 4] alone says where points go; beside a displacement [X, Y, Z, 3] in the points' unit, at which of its
# voxels they lie.
Step = tuple[np.ndarray, np.ndarray | None]

_NONE = np.zeros((1, 1, 1, 3), np.float32)


@kernel
def _through(
    points: np.ndarray, matrices: np.ndarray, which: np.ndarray, fields: tuple, room: float, start: int, stop: int
) -> None:
    """Move points [N, 3], in place; `which` is each step's field, or -1 for a matrix alone."""
    step = np.empty(3, np.float32)
    for n in range(start, stop):
        a, b, c = points[n, 0], points[n, 1], points[n, 2]
        for m in range(len(which)):
            matrix = matrices[m]
            x = matrix[0, 0] * a + matrix[0, 1] * b + matrix[0, 2] * c + matrix[0, 3]
            y = matrix[1, 0] * a + matrix[1, 1] * b + matrix[1, 2] * c + matrix[1, 3]
            z = matrix[2, 0] * a + matrix[2, 1] * b + matrix[2, 2] * c + matrix[2, 3]
            if which[m] < 0:
                a, b, c = x, y, z
                continue
            field = fields[which[m]]
            if not (-room <= x < field.shape[0] - 1 + room and -room <= y < field.shape[1] - 1 + room):
                continue
            if -room <= z < field.shape[2] - 1 + room:
                at(field, x, y, z, step)
                a += step[0]
                b += step[1]
                c += step[2]
        points[n, 0], points[n, 1], points[n, 2] = a, b, c


def through(points: np.ndarray, steps: Sequence[Step], room: float) -> np.ndarray:
    """Points after steps, the first applied first.

    Args:
        points: [..., 3] float64.
        steps: At most `MOST_FIELDS` with a displacement.
        room: Voxels beyond a displacement's outermost centres where its border value still holds; points farther out
            do not move.
    """
    out = np.array(points, np.float64, order="C")
    fields = [as_volume(field) for _, field in steps if field is not None]
    which = np.full(len(steps), -1)
    which[[field is not None for _, field in steps]] = np.arange(len(fields))
    matrices = np.array([matrix for matrix, _ in steps], np.float64).reshape(-1, 3, 4)
    slots = (*fields, *(_NONE,) * (MOST_FIELDS - len(fields)))
    flat = out.reshape(-1, 3)
    in_slabs(_through, len(flat), flat, matrices, which, slots, room, least=4096)
    return out
