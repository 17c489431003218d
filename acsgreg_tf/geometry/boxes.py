"""Boxes of voxels."""

from collections.abc import Sequence

import numpy as np

__all__ = ["Box", "bounding_box", "ends", "grown"]

# A slice an axis.
Box = tuple[slice, ...]


def bounding_box(mask: np.ndarray) -> Box:
    """The smallest box round all that is true in a mask of any number of axes; one without voxels where nothing is."""
    if not mask.any():
        return (slice(0, 0),) * mask.ndim
    axes = range(mask.ndim)
    held = (np.flatnonzero(mask.any(axis=tuple(other for other in axes if other != axis))) for axis in axes)
    return tuple(slice(int(along[0]), int(along[-1]) + 1) for along in held)


def ends(box: Box) -> tuple[list[int], list[int]]:
    """Where a box starts and stops along each axis."""
    return [side.start for side in box], [side.stop for side in box]


def grown(box: Box, shape: Sequence[int], by: int) -> Box:
    """A box grown by some voxels on every side, as far as the shape goes."""
    return tuple(slice(max(side.start - by, 0), min(side.stop + by, n)) for side, n in zip(box, shape, strict=True))
