"""The vertebrae of a spine in one region of 1 mm voxels, each with its own transform."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from acsgreg_tf.geometry import Affine, Grid, resample
from acsgreg_tf.geometry.transforms import Transform

__all__ = ["FAR", "NEAR", "Bone", "Region"]

# Millimetres from the nearest vertebra: what the vertebrae's own transforms add to the trend is left as it is up to the
# first, and is zero from the second on.
NEAR, FAR = 5.0, 16.0
# Of every so many voxels of a vertebra one stands for it where its pose is meant.
SPARSE = 7
# Voxels from another vertebra from which a vertebra's surroundings are its own.
APART = 4


@dataclass(frozen=True, eq=False)
class Bone:
    """A vertebra of the fixed scan and what its own registration does to it.

    Attributes:
        level: Its name.
        share: (X, Y, Z) float32 in [0, 1], how much of a voxel is vertebra.
        grid: Where that lies, 1 mm, RAS.
        affine: Its affine, fixed RAS mm -> moving RAS mm.
        transform: Its whole transform, likewise.
    """

    level: str
    share: np.ndarray
    grid: Grid
    affine: Affine
    transform: Transform

    @property
    def points(self) -> np.ndarray:
        """Some of its voxels, (N, 3) RAS mm."""
        return self.grid.index_to_points(np.argwhere(self.share > 0.5)[::SPARSE])


class Region:
    """The box that holds all vertebrae and `FAR` around them, in voxels of 1 mm.

    Attributes:
        grid: Its Grid; its voxels fall on those of the first vertebra's grid.
        labels: (X, Y, Z) uint8, 1 for the first vertebra's voxels, 2 for the second's ..., 0 for none.
        bones: The vertebrae, head to foot.
    """

    def __init__(self, bones: Sequence[Bone]) -> None:
        self.bones = tuple(bones)
        corners = []
        for bone in bones:
            index = np.argwhere(bone.share > 0.5)
            corners += [bone.grid.index_to_points(index.min(axis=0)), bone.grid.index_to_points(index.max(axis=0))]
        own = bones[0].grid
        low, high = own.points_to_index([np.min(corners, axis=0), np.max(corners, axis=0)])
        self.grid = own.crop(np.floor(low - FAR - 2).astype(int), np.ceil(high + FAR + 3).astype(int))
        self.labels = np.zeros(self.grid.shape, np.uint8)
        most = np.full(self.grid.shape, 0.5, np.float32)
        for number, bone in enumerate(bones, 1):
            share = resample(bone.share, bone.grid, self.grid)
            inside = share > most
            self.labels[inside] = number
            most[inside] = share[inside]

    def voxels(self, number: int) -> np.ndarray:
        """The voxels (N, 3) of the vertebra with a number in `labels`."""
        return np.argwhere(self.labels == number)

    def skin(self, number: int) -> np.ndarray:
        """Its voxels and those beside them, but for those near another vertebra, (N, 3)."""
        start, stop = self.around(number)
        labels = self.labels[tuple(map(slice, start, stop))]
        own = labels == number
        near = ndimage.binary_dilation(own, iterations=1)
        close = ndimage.binary_dilation((labels > 0) & ~own, iterations=APART)
        return np.argwhere(own | (near & ~close)) + start

    def around(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The box about a vertebra that holds all within `FAR` of it: (start, stop), voxels, each (3,)."""
        box = ndimage.find_objects(self.labels, number)[number - 1]
        start = [max(side.start - int(FAR) - 1, 0) for side in box]
        stop = [min(side.stop + int(FAR) + 1, n) for side, n in zip(box, self.grid.shape, strict=True)]
        return np.array(start), np.array(stop)
