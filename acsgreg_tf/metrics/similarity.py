"""Similarity of two images."""

import numpy as np

from acsgreg_tf.fields.windows import box_sum, correlation


def lncc(fixed: np.ndarray, moved: np.ndarray, window: int = 9) -> float:
    """Local normalised cross-correlation (the paper's Eqs. 5 and 6), over windows that reach the fixed image; 0 to 1.

    Args:
        fixed: (X, Y, Z), 0 where there is nothing.
        moved: (X, Y, Z).
        window: Side of the cubic window, odd.
    """
    fixed, moved = np.asarray(fixed, np.float32), np.asarray(moved, np.float32)
    # The other windows score exactly 0, since the fixed image is empty there.
    reached = int((box_sum((fixed != 0).astype(np.float32), window) > 0.5).sum())
    return float(correlation(fixed, moved, window).sum(dtype=float)) / max(reached, 1)


def normalised_correlation(fixed: np.ndarray, moved: np.ndarray) -> float:
    """Normalised cross-correlation of two volumes of one shape, -1 to 1; 0 if one of them is constant."""
    fixed, moved = (volume - volume.mean(dtype=float) for volume in (fixed, moved))
    scale = np.sqrt((fixed**2).sum() * (moved**2).sum())
    return float((fixed * moved).sum() / scale) if scale else 0.0
