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
    sums: tuple, counts: np.ndarray, share: float, rows: np.ndarray, scores: np.ndarray, start: int, stop: int
) -> None:
    """Scores, and in the place of the sums of w, w^2 / 2 and f w the derivatives of counts times scores by them.

    A voxel is `share` of its window.
    """
    f, ff, w, ww, fw = sums
    sides = f.shape
    for i in range(start, stop):
        total = 0.0
        for j in range(sides[1]):
            for k in range(sides[2]):
                sum_w, sum_ww, sum_fw = w[i, j, k], ww[i, j, k], fw[i, j, k]
                if sum_w == 0 and sum_ww == 0 and sum_fw == 0:  # the warped image is empty there
                    scores[i, j, k] = 0
                    continue
                cross = sum_fw - f[i, j, k] * sum_w * share
                f_variance = max(ff[i, j, k] - f[i, j, k] * f[i, j, k] * share, 0.0)
                w_variance = max(sum_ww - sum_w * sum_w * share, 0.0)
                ratio = cross / (f_variance * w_variance + EPSILON)
                scores[i, j, k] = cross * ratio
                total += counts[i, j, k] * scores[i, j, k]
                by_cross = counts[i, j, k] * 2 * ratio
                twice = -by_cross * ratio * f_variance if w_variance > 0 else 0.0
                w[i, j, k] = -(by_cross * f[i, j, k] + twice * sum_w) * share
                ww[i, j, k] = twice
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
    in_slabs(_score, len(fixed), _sums(fixed, warped, window, None), counts, 1 / window**3, rows, scores)
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
    in_slabs(_score, len(fixed), sums, counts, 1 / window**3, rows, scores)
    gradient, by_half_ww, by_fw = (box_sum(values, window) for values in sums[2:])
    by_half_ww *= warped
    by_fw *= fixed
    gradient += by_half_ww
    gradient += by_fw
    return float(rows.sum()), gradient
