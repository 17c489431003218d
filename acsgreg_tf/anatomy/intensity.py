"""CT intensities as the networks expect them: cut, scaled to [0, 1] and masked."""

import numpy as np
from numpy.typing import ArrayLike

from acsgreg_tf.errors import InputError

HU_RANGE = (-200.0, 1500.0)
AIR = -1024.0


def normalise(hu: np.ndarray, label: ArrayLike) -> np.ndarray:
    """CT in [0, 1] (float32, same shape): HU cut to [-200, 1500], scaled, and 0 outside the label (> 0)."""
    if np.shape(hu) != np.shape(label):
        raise InputError(f"CT and label must have one shape, not {np.shape(hu)} and {np.shape(label)}")
    low, high = HU_RANGE
    return ((np.clip(hu, low, high) - low) / (high - low) * (np.asarray(label) > 0)).astype(np.float32)


def to_hu(image: np.ndarray) -> np.ndarray:
    """An image in HU (float32); one that lies in [0, 1] is taken as cut and scaled already, 0 being -200 HU.

    >>> to_hu(np.array([0.0, 1.0])), to_hu(np.array([-1000.0, 400.0]))
    (array([-200., 1500.], dtype=float32), array([-1000.,   400.], dtype=float32))
    """
    image = np.asarray(image, np.float32)
    low, high = HU_RANGE
    return image * np.float32(high - low) + np.float32(low) if is_scaled(image) else image


def is_scaled(image: np.ndarray) -> bool:
    """Whether all values lie in [0, 1], as those of a crop do whose HU are scaled already."""
    return bool(image.min() >= 0 and image.max() <= 1)


def outside_of(image: np.ndarray) -> float:
    """What an image holds outside of its field of view: air (-1024 HU) in a CT, else its own least value.

    A CT is known by its negative values; a crop in [0, 1], or one on an empty background, keeps its background.

    >>> outside_of(np.array([-2000.0, 300.0])), outside_of(np.array([0.0, 0.7]))
    (-1024.0, 0.0)
    """
    least = float(np.min(image))
    return AIR if least < 0 else least
