"""Stray voxels of a label: small pieces that are no part of the vertebra."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from acsgreg_tf.geometry.boxes import bounding_box

# Pieces smaller than this share of the largest one are stray; a broken or split arch is larger.
STRAY_SHARE = 0.02


class Cleaned(NamedTuple):
    """A mask without its stray pieces.

    Attributes:
        mask: (X, Y, Z) bool; the same object where there were none.
        pieces, voxels: How many were left out.
        others: Pieces that stay beside the largest.
    """

    mask: np.ndarray
    pieces: int
    voxels: int
    others: int


def without_stray_pieces(mask: np.ndarray) -> Cleaned:
    """A mask with its largest piece and those that are at least `STRAY_SHARE` of it; voxels that touch belong together.

    Args:
        mask: (X, Y, Z) bool, with voxels inside.
    """
    box = bounding_box(mask)
    pieces, count = ndimage.label(mask[box], ndimage.generate_binary_structure(3, 3))
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    large = sizes >= STRAY_SHARE * sizes.max()
    large[0] = False
    stray = count - int(large.sum())
    if not stray:
        return Cleaned(mask, 0, 0, count - 1)
    cleaned = np.zeros_like(mask)
    cleaned[box] = large[pieces]
    return Cleaned(cleaned, stray, int(sizes.sum() - sizes[large].sum()), int(large.sum()) - 1)
