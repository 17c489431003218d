"""Label maps sampled at points: the value whose mask, interpolated linearly, exceeds a half there."""

import numpy as np

from acsgreg_tf.fields.kernels import in_slabs, kernel, locate

__all__ = ["look_up_label"]


@kernel
def _look_up_label(
    label: np.ndarray, points: np.ndarray, matrix: np.ndarray, room: float, out: np.ndarray, start: int, stop: int
) -> None:
    values, weights = np.empty(8, label.dtype), np.empty(8, np.float32)
    for n in range(start, stop):
        a, b, c = points[n, 0], points[n, 1], points[n, 2]
        x = matrix[0, 0] * a + matrix[0, 1] * b + matrix[0, 2] * c + matrix[0, 3]
        y = matrix[1, 0] * a + matrix[1, 1] * b + matrix[1, 2] * c + matrix[1, 3]
        z = matrix[2, 0] * a + matrix[2, 1] * b + matrix[2, 2] * c + matrix[2, 3]
        out[n] = 0
        if not (-room <= x < label.shape[0] - 1 + room and -room <= y < label.shape[1] - 1 + room):
            continue
        if not -room <= z < label.shape[2] - 1 + room:
            continue
        i, di, fx = locate(x, label.shape[0])
        j, dj, fy = locate(y, label.shape[1])
        k, dk, fz = locate(z, label.shape[2])
        first, alike = label[i, j, k], True
        for p in range(2):
            for q in range(2):
                for r in range(2):
                    value = label[i + p * di, j + q * dj, k + r * dk]
                    values[4 * p + 2 * q + r] = value
                    weights[4 * p + 2 * q + r] = (fx if p else 1 - fx) * (fy if q else 1 - fy) * (fz if r else 1 - fz)
                    alike = alike and value == first
        if alike:
            out[n] = max(first, 0)
            continue
        for m in range(8):
            value, total = values[m], 0.0
            for other in range(8):
                if values[other] == value:
                    total += weights[other]
            if np.float32(total) > 0.5 and value > 0:  # as `look_up` rounds it
                out[n] = value
                break


def look_up_label(label: np.ndarray, points: np.ndarray, to_index: np.ndarray, room: float) -> np.ndarray:
    """A label map sampled at points of a frame of their own.

    Args:
        label: [X, Y, Z] int32; values up to 0 are background. Another type compiles a kernel of its own.
        points: [..., 3] float64.
        to_index: [3, 4], from points to voxels of the map.
        room: Voxels beyond the outermost centres where the border value still holds; farther out there is none.

    Returns:
        [...], of the map's type: 0 where no value's mask exceeds a half.
    """
    matrix = np.array(to_index, np.float64)
    if label.flags.f_contiguous:
        label, matrix = label.T, np.ascontiguousarray(matrix[::-1])
    flat = np.ascontiguousarray(points.reshape(-1, 3), np.float64)
    out = np.empty(len(flat), label.dtype)
    in_slabs(_look_up_label, len(flat), np.ascontiguousarray(label), flat, matrix, room, out, least=4096)
    return out.reshape(points.shape[:-1])
