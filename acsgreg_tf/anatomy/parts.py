"""The parts of a vertebra in a label map, and how well one vertebra's parts lie on another's."""

from collections.abc import Mapping

import numpy as np

from acsgreg_tf import metrics
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import resample
from acsgreg_tf.geometry.boxes import bounding_box, ends
from acsgreg_tf.geometry.transforms import Transform
from acsgreg_tf.io.images import Image

__all__ = ["PARTS", "compare_parts", "mean_of_parts", "parts_of_vertebra"]

# Numbers of VerSe's subregions, as SPINEPS and TPTBox write them (`seg-subreg`); the body is its border and its inside.
PARTS = {
    "arch": (41,),
    "spinous": (42,),
    "transverse_left": (43,),
    "transverse_right": (44,),
    "superior_left": (45,),
    "superior_right": (46,),
    "inferior_left": (47,),
    "inferior_right": (48,),
    "body": (49, 50),
}
_MARGIN_MM = 25.0  # beyond the fixed parts, so that moved ones which miss them are seen whole


def parts_of_vertebra(parts: Image, label: Image | None = None, number: int | None = None) -> Image:
    """The parts of one vertebra, cut out of a map that may hold those of a whole spine.

    Args:
        parts: Map of parts, numbered as `PARTS`.
        label: Label map of the vertebrae, on whatever grid; None takes all parts.
        number: The vertebra's number there; None takes all that is labelled.

    Returns:
        The parts' bounding box; other numbers are 0.

    Raises:
        InputError: The map holds no part of that vertebra.
    """
    data = np.where(np.isin(parts.data, sum(PARTS.values(), ())), parts.data, 0)
    if label is not None:
        mask = label.data > 0 if number is None else label.data == number
        if not label.grid.isclose(parts.grid):
            mask = resample(mask.astype(np.uint8), label.grid, parts.grid, order=0) > 0
        data = np.where(mask, data, 0)
    if not (data > 0).any():
        raise InputError(f"{parts.name}: holds no part of the vertebra (41 to 50, as VerSe's subregions)")
    box = bounding_box(data > 0)
    return Image(data[box].astype(np.uint8), parts.grid.crop(*ends(box)), parts.name)


def compare_parts(fixed: Image, moving: Image, transform: Transform | None = None) -> dict[str, dict[str, float]]:
    """How well the moving vertebra's parts lie on the fixed one's, part by part.

    The moving map is sampled once, at the nearest neighbour, on the fixed map's own grid.

    Args:
        fixed: Parts of one vertebra (`parts_of_vertebra`).
        moving: Likewise.
        transform: Fixed RAS mm -> moving RAS mm; None for a map that has been moved already.

    Returns:
        {part: {"dice", "assd_mm", "centre_mm"}} for each part that both maps hold; centre_mm is the distance of the
        part's centre from the fixed one's, in the fixed scan's frame. A part that left the grid has 0, inf, inf.
    """
    margin = np.ceil(_MARGIN_MM / fixed.grid.spacing).astype(int)
    grid = fixed.grid.crop(-margin, np.add(fixed.grid.shape, margin))
    target = np.pad(fixed.data, [(pad, pad) for pad in margin])
    moved = resample(moving.data, moving.grid, grid, transform, order=0)
    measures = {}
    for name, numbers in PARTS.items():
        if not (np.isin(fixed.data, numbers).any() and np.isin(moving.data, numbers).any()):
            continue
        one, other = np.isin(target, numbers), np.isin(moved, numbers)
        distance = float("inf")
        if other.any():
            centres = [grid.index_to_points(np.argwhere(mask).mean(axis=0)) for mask in (one, other)]
            distance = float(np.linalg.norm(centres[0] - centres[1]))
        measures[name] = {
            "dice": metrics.dice(one, other),
            "assd_mm": metrics.assd(one, other, spacing=grid.spacing),
            "centre_mm": distance,
        }
    return measures


def mean_of_parts(measures: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """{"dice", "assd_mm", "centre_mm"}: the plain mean over the parts; NaN where there is none."""
    names = ("dice", "assd_mm", "centre_mm")
    if not measures:
        return dict.fromkeys(names, float("nan"))
    return {name: float(np.mean([part[name] for part in measures.values()])) for name in names}
