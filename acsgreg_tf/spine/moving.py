"""The moving scan and its label map on the fixed grid, through a spine's transform."""

import numpy as np

from acsgreg_tf import fields
from acsgreg_tf.anatomy.intensity import outside_of
from acsgreg_tf.fields import look_up, look_up_label
from acsgreg_tf.geometry import Grid
from acsgreg_tf.geometry.grid import FACE, box_corners
from acsgreg_tf.io.images import Image
from acsgreg_tf.spine.blending import Blend

__all__ = ["move_scan"]

# Away from the vertebrae the transform is smooth: it is computed at places so many mm apart at most, and interpolated.
APART_MM = 2.5
# Voxels at a time, so that their points stay in the processor's cache.
SLAB = 100_000


def move_scan(image: Image, label_map: Image, grid: Grid, blend: Blend) -> tuple[Image, Image]:
    """A moving image, sampled linearly, and its label map with all of its labels, each sampled once.

    Args:
        image: The moving image; where it does not reach there is air (`anatomy.intensity.outside_of`).
        label_map: Its label map, on whatever grid.
        grid: The fixed image's.
        blend: The transform.
    """
    moved, labels = np.empty(grid.shape, np.float32), np.empty(grid.shape, label_map.data.dtype)
    to_image, to_label = (np.linalg.inv(source.grid.affine)[:3] for source in (image, label_map))
    fill = outside_of(image.data)
    places, numbers = _Places(grid, blend), label_map.data.astype(np.int32)
    for start, stop in grid.slabs(SLAB):
        points = places.between(start, stop)
        moved[start:stop] = look_up(image.data, points, to_image, FACE, fill)
        labels[start:stop] = look_up_label(numbers, points, to_label, FACE)
    return Image(moved, grid, f"{image.name} moved"), Image(labels, grid, f"{label_map.name} moved")


class _Places:
    """Where a transform takes the voxels of a grid, RAS mm."""

    def __init__(self, grid: Grid, blend: Blend) -> None:
        self.grid, self.blend = grid, blend
        steps = np.maximum(APART_MM / grid.spacing, 1).astype(int)
        nodes = [np.append(np.arange(0, n - 1, step), n - 1) for n, step in zip(grid.shape, steps, strict=True)]
        beyond = blend.trend.transform.compose(blend.rigid)
        self.coarse = np.empty((*map(len, nodes), 3), np.float32)
        for layer, at in enumerate(nodes[0]):
            self.coarse[layer] = beyond.apply(grid.crossings(([at], *nodes[1:])))[0]
        self.at = [np.interp(np.arange(n), own, np.arange(len(own))) for n, own in zip(grid.shape, nodes, strict=True)]
        faces = box_corners((-0.5,) * 3, np.subtract(blend.grid.shape, 0.5))
        own = grid.points_to_index(blend.grid.index_to_points(faces))
        self.start = np.clip(np.floor(own.min(axis=0)), 0, grid.shape).astype(int)
        self.stop = np.clip(np.ceil(own.max(axis=0)) + 1, 0, grid.shape).astype(int)

    def between(self, start: int, stop: int) -> np.ndarray:
        """Of the layers `start` to `stop`, (n, Y, Z, 3)."""
        along = self.at[0][start:stop]
        first, last = int(along[0]), int(np.ceil(along[-1]))
        # Only the layers about these: `resize` takes the last axis first.
        points = fields.resize(self.coarse[first : last + 1], [along - first, *self.at[1:]])
        low, high = (np.array([np.clip(edge[0], start, stop), *edge[1:]]) for edge in (self.start, self.stop))
        if (high > low).all():
            box = (slice(low[0] - start, high[0] - start), slice(low[1], high[1]), slice(low[2], high[2]))
            points[box] = self.blend.transform.apply(self.grid.crop(low, high).points())
        return points
