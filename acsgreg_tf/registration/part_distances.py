"""The signed distance to each part of a vertebra, on the network's grid, from a map of parts on a grid of its own."""

import numpy as np

from acsgreg_tf.anatomy.parts import PARTS
from acsgreg_tf.geometry import Grid, resample
from acsgreg_tf.geometry.boxes import bounding_box, ends
from acsgreg_tf.geometry.distance import from_crop
from acsgreg_tf.geometry.grid import box_corners
from acsgreg_tf.io.images import Image

# Voxels to which distances are cut: a part is pulled from so far.
REACH = 4.0


def part_distances(parts: Image, grid: Grid) -> dict[str, np.ndarray]:
    """Signed distances to the parts' surfaces, by the names of `anatomy.PARTS`.

    Args:
        parts: Map of one vertebra's parts (`anatomy.parts_of_vertebra`).
        grid: Of the vertebra in network space.

    Returns:
        {part: (X, Y, Z) float32, voxels of the grid, negative inside, cut at REACH}; a part that is not there, or is a
        thread of single voxels, is left out.
    """
    distances = {}
    for name, numbers in PARTS.items():
        mask = np.isin(parts.data, numbers)
        if not mask.any():
            continue
        box = bounding_box(mask)
        start, stop = (np.add(end, by) for end, by in zip(ends(box), (-1, 1), strict=True))
        at = grid.points_to_index(parts.grid.index_to_points(box_corners(start, stop)))
        room = int(REACH) + 2
        first = np.clip(np.floor(at.min(axis=0)).astype(int) - room, 0, grid.shape)
        last = np.clip(np.ceil(at.max(axis=0)).astype(int) + room + 1, 0, grid.shape)
        if np.any(last - first < 2):
            continue
        around = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        own = from_crop(resample(np.pad(mask[box], 1), parts.grid.crop(start, stop), grid.crop(first, last)))
        if own is None:
            continue
        distances[name] = np.full(grid.shape, REACH, np.float32)
        distances[name][around] = np.clip(own, -REACH, REACH)
    return distances
