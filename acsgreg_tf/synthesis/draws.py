"""Random numbers for shapes, poses and intensities: normal, but never far out."""

import numpy as np


def cut_normal(rng: np.random.Generator, size: int | None = None, limit: float = 2.0) -> np.ndarray:
    """Draw standard normal numbers, cut at `limit` standard deviations.

    Args:
        rng: The generator that is advanced.
        size: How many; None draws a single number.
        limit: Numbers beyond it become it.

    >>> numbers = cut_normal(np.random.default_rng(0), 1000)
    >>> float(np.abs(numbers).max())
    2.0
    """
    return np.clip(rng.standard_normal(size), -limit, limit)
