"""Whether a label looks like a lumbar vertebra, and its image like CT."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from acsgreg_tf.geometry.boxes import bounding_box, grown

# Volumes in ml that a lumbar vertebra may have.
PLAUSIBLE_ML = (15, 150)
# Extents in mm along x, y and z; docs/lab/doubts.md has those of training people.
PLAUSIBLE_MM = ((52, 58, 33), (150, 130, 85))
# By how many mm a body lies before the middle of its vertebra, at least.
LEAST_AHEAD_MM = 0.0
# Mean HU of a vertebra.
PLAUSIBLE_HU = (0, 900)
# By how much bone is brighter than what lies `AROUND_MM` beside it, HU at least.
BRIGHTER_BY, AROUND_MM = 25.0, 4


class Flag(NamedTuple):
    """A doubt about a registration.

    Attributes:
        name: For programs, e.g. "fixed_volume".
        text: For people, one line.
    """

    name: str
    text: str


def shape_flags(mask: np.ndarray, side: str, name: str) -> list[Flag]:
    """Doubts about a label's shape.

    Args:
        mask: (X, Y, Z) bool, of 1 mm, x to the right, y forward, z up.
        side: "fixed" or "moving".
        name: What the label is called in a message.
    """
    flags = []
    unlikely = unlikely_volume(np.count_nonzero(mask) / 1000)
    if unlikely:
        flags.append(Flag(f"{side}_volume", f"{name}: {unlikely}"))
    box = bounding_box(mask)
    extent = [part.stop - part.start for part in box]
    if any(not low <= size <= high for low, size, high in zip(PLAUSIBLE_MM[0], extent, PLAUSIBLE_MM[1], strict=True)):
        size = " x ".join(map(str, extent))
        flags.append(Flag(f"{side}_extent", f"{name}: {size} mm is an unlikely size for a lumbar vertebra"))
    if not flags and body_ahead(mask[box]) < LEAST_AHEAD_MM:
        flags.append(Flag(f"{side}_backward", f"{name}: its body lies behind its arch; is its header right?"))
    return flags


def hu_flags(image: np.ndarray, mask: np.ndarray, side: str, name: str) -> list[Flag]:
    """Doubts about the intensities of a CT at a label.

    Args:
        image: (X, Y, Z), HU, on the mask's grid.
        mask: (X, Y, Z) bool, of 1 mm.
        side: "fixed" or "moving".
        name: What the image is called in a message.
    """
    inside = float(image[mask].mean())
    if not PLAUSIBLE_HU[0] <= inside <= PLAUSIBLE_HU[1]:
        return [Flag(f"{side}_hu", f"{name}: a mean of {inside:.0f} HU is not that of a vertebra in CT")]
    box = grown(bounding_box(mask), mask.shape, AROUND_MM)
    near = mask[box]
    beside = ndimage.binary_dilation(near, iterations=AROUND_MM) & ~ndimage.binary_dilation(near)
    around = float(image[box][beside].mean()) if beside.any() else -np.inf
    if inside < around + BRIGHTER_BY:
        text = (
            f"{name}: the label is no brighter ({inside:.0f} HU) than what is around it ({around:.0f} HU); does it fit?"
        )
        return [Flag(f"{side}_contrast", text)]
    return []


def unlikely_volume(volume: float) -> str | None:
    """What is wrong with a lumbar vertebra's volume in ml, or None."""
    low, high = PLAUSIBLE_ML
    return None if low <= volume <= high else f"{volume:.1f} ml is unlikely for a lumbar vertebra"


def body_ahead(mask: np.ndarray) -> float:
    """By how many mm the thick part of a mask (X, Y, Z), its body, lies before its middle."""
    # The one deepest point may lie in a thick spinous process; most of what is half as deep is body.
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))
    body = depth > depth.max() / 2
    return float(ndimage.center_of_mass(body)[1] - 1 - ndimage.center_of_mass(mask)[1])
