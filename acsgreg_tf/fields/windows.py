"""Sums over cubic windows, and the local correlation that is made of them, with its gradient."""

import numpy as np

from acsgreg_tf.fields.kernels import in_slabs, kernel

__all__ = ["box_sum", "correlation", "correlation_gradient"]

# Added to the product of the variances, as in `losses.local_correlation`.
EPSILON = 1e-5


@kernel
def _sum_yz(values: np.ndarray, radius: int, out: np.ndarray, start: int, stop: int) -> None:
    sides = values.shape
    rows = np.empty((sides[1], sides[2]), np.float32)
    for i in range(start, stop):
        for j in range(sides[1]):
            for k in range(sides[2]):
                rows[j, k] = values[i, j, k]
        for shift in range(1, radius + 1):
            for j in range(sides[1]):
                for k in range(sides[2] - shift):
                    rows[j, k] += values[i, j, k + shift]
                for k in range(shift, sides[2]):
                    rows[j, k] += values[i, j, k - shift]
        for j in range(sides[1]):
            for k in range(sides[2]):
                out[i, j, k] = rows[j, k]
        for shift in range(1, radius + 1):
            for j in range(sides[1] - shift):
                for k in range(sides[2]):
                    out[i, j, k] += rows[j + shift, k]
            for j in range(shift, sides[1]):
                for k in range(sides[2]):
                    out[i, j, k] += rows[j - shift, k]


@kernel
def _sum_x(values: np.ndarray, radius: int, out: np.ndarray, start: int, stop: int) -> None:
    sides = values.shape
    for i in range(start, stop):
        for j in range(sides[1]):
            for k in range(sides[2]):
                out[i, j, k] = 0
        for near in range(max(i - radius, 0), min(i + radius + 1, sides[0])):
            for j in range(sides[1]):
                for k in range(sides[2]):
                    out[i, j, k] += values[near, j, k]


def box_sum(values: np.ndarray, window: int) -> np.ndarray:
    """Sum over the cube of `window` voxels a side (odd) round each voxel, zeros outside: [X, Y, Z] float32.

    It is its own adjoint.
    """
    values = np.ascontiguousarray(values, np.float32)
    flat, out = np.empty_like(values), np.empty_like(values)
    in_slabs(_sum_yz, len(values), values, window // 2, flat)
    in_slabs(_sum_x, len(values), flat, window // 2, out)
    return out


@kernel
def _score(
    sums: tuple, counts: np.ndarray, count: float, rows: np.ndarray, scores: np.ndarray, start: int, stop: int
) -> None:
    """Scores times counts, and in the place of the sums of w, w^2 and f w the derivatives of that by them."""
    f, ff, w, ww, fw = sums
    sides = f.shape
    for i in range(start, stop):
        total = 0.0
        for j in range(sides[1]):
            for k in range(sides[2]):
                cross = fw[i, j, k] - f[i, j, k] * w[i, j, k] / count
                f_variance = max(ff[i, j, k] - f[i, j, k] * f[i, j, k] / count, 0.0)
                w_variance = max(ww[i, j, k] - w[i, j, k] * w[i, j, k] / count, 0.0)
                product = f_variance * w_variance + EPSILON
                scores[i, j, k] = cross * cross / product
                total += counts[i, j, k] * scores[i, j, k]
                by_cross = counts[i, j, k] * 2 * cross / product
                by_variance = -by_cross * cross / (2 * product) * f_variance if w_variance > 0 else 0.0
                mean = w[i, j, k] / count
                w[i, j, k] = -by_cross * f[i, j, k] / count - 2 * by_variance * mean
                ww[i, j, k] = by_variance
                fw[i, j, k] = by_cross
        rows[i] = total


def _sums(fixed: np.ndarray, warped: np.ndarray, window: int, fixed_sums: tuple | None) -> tuple:
    f, ff = fixed_sums or (box_sum(fixed, window), box_sum(fixed * fixed, window))
    return f, ff, box_sum(warped, window), box_sum(warped * warped, window), box_sum(fixed * warped, window)


def correlation(fixed: np.ndarray, warped: np.ndarray, window: int = 9) -> np.ndarray:
    """Squared local normalised cross-correlation round each voxel (the paper's Eq. 5), 0 to 1: [X, Y, Z] float32.

    As `losses.local_correlation`: a window that is constant in either image scores 0.

    Args:
        fixed: [X, Y, Z] float32.
        warped: [X, Y, Z] float32.
        window: Side of the cube, odd.
    """
    scores = np.empty(fixed.shape, np.float32)
    counts, rows = np.ones(fixed.shape, np.float32), np.empty(len(fixed))
    in_slabs(_score, len(fixed), _sums(fixed, warped, window, None), counts, float(window**3), rows, scores)
    return scores


def correlation_gradient(
    fixed: np.ndarray, warped: np.ndarray, counts: np.ndarray, window: int, fixed_sums: tuple
) -> tuple[float, np.ndarray]:
    """The sum of counts times `correlation`, and its gradient by the warped image.

    Args:
        fixed: [X, Y, Z] float32.
        warped: [X, Y, Z] float32.
        counts: [X, Y, Z] float32, how much each window counts.
        window: Side of the cube, odd.
        fixed_sums: `box_sum` of the fixed image and of its square.

    Returns:
        (sum, gradient [X, Y, Z] float32).
    """
    sums, rows, scores = _sums(fixed, warped, window, fixed_sums), np.empty(len(fixed)), np.empty_like(fixed)
    in_slabs(_score, len(fixed), sums, counts, float(window**3), rows, scores)
    by_w, by_ww, by_fw = (box_sum(values, window) for values in sums[2:])
    return float(rows.sum()), by_w + 2 * warped * by_ww + fixed * by_fw
