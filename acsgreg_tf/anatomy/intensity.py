"""CT intensities as the networks expect them: cut, scaled to [0, 1] and masked."""

import numpy as np
from numpy.typing import ArrayLike

from acsgreg_tf.errors import InputError

HU_RANGE = (-200.0, 1500.0)


def normalise(hu: np.ndarray, label: ArrayLike) -> np.ndarray:
    """CT in [0, 1] (float32, same shape): HU cut to [-200, 1500], scaled, and 0 outside the label (> 0)."""
    if np.shape(hu) != np.shape(label):
        raise InputError(f"CT and label must have one shape, not {np.shape(hu)} and {np.shape(label)}")
    low, high = HU_RANGE
    return ((np.clip(hu, low, high) - low) / (high - low) * (np.asarray(label) > 0)).astype(np.float32)
