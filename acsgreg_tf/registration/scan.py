"""One side of a pair as it was read: an image with its label map, and the parts of them that one vertebra needs."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.ndimage import find_objects

from acsgreg_tf.anatomy.vertebra import is_too_small
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.boxes import Box, ends, grown
from acsgreg_tf.geometry.grid import box_corners
from acsgreg_tf.io.images import Image, as_image, as_label
from acsgreg_tf.registration.from_surface import is_surface, label_of_surface

__all__ = ["Scan", "Source", "about", "read_scan"]

# A path, a nibabel or SimpleITK image, or an Image.
Source = str | os.PathLike | Any


@dataclass(frozen=True, eq=False)
class Scan:
    """One side of a pair as it was read and checked.

    Attributes:
        image: Intensities.
        label_map: Its label map, on whatever grid, or None for an image that shows one vertebra alone.
        number: The chosen vertebra's number in the label map; None before `select`, and without a label map.
        ignore: A mask of where not to compare (not 0), on whatever grid, or None.
        notes: Warnings about the label map for the user, one line each.
        parts: Map of parts (`anatomy.parts`), of the whole scan maybe, on whatever grid, or None.
        drawn: Whether there is no CT: the image is the label map's mask, and the network is shown painted bone.
        box: Where the chosen vertebra lies in the label map, a slice an axis; None as with `number`.
    """

    image: Image
    label_map: Image | None = None
    number: int | None = None
    ignore: Image | None = None
    notes: tuple[str, ...] = ()
    drawn: bool = False
    parts: Image | None = None
    box: Box | None = None

    @cached_property
    def boxes(self) -> list[Box | None]:
        """Where each number of the label map lies, from 1 on. Computed lazily; cached."""
        if self.label_map is None:
            return []
        # The last axis first, as files hold it: scipy takes twice as long the other way round.
        return [None if box is None else box[::-1] for box in find_objects(self.label_map.data.T)]

    def levels(self, table: Mapping[str, int]) -> list[str]:
        """The levels of a table that the label map holds, in the table's order; a few stray voxels are no vertebra."""
        return [level for level, number in table.items() if self._holds(number)]

    def _holds(self, number: int) -> bool:
        box = self.boxes[number - 1] if 0 < number <= len(self.boxes) else None
        if self.label_map is None or box is None:
            return False
        return not is_too_small(int((self.label_map.data[box] == number).sum()), self.label_map.grid)

    @property
    def place(self) -> Box | None:
        """`box`, looked up where it was not given."""
        if self.box is not None or self.number is None or not 0 < self.number <= len(self.boxes):
            return self.box
        return self.boxes[self.number - 1]

    @cached_property
    def alone(self) -> Image | None:
        """The chosen vertebra's part of the label map with nothing else in it. Computed lazily; cached."""
        if self.label_map is None or self.place is None:
            return None
        box = grown(self.place, self.label_map.grid.shape, 1)
        data = self.label_map.data[box]
        grid = self.label_map.grid.crop(*ends(box))
        return Image(np.where(data == self.number, data, 0), grid, self.label_map.name)


def read_scan(
    image: Source | Scan | None,
    label_map: Source | None = None,
    ignore: Source | None = None,
    parts: Source | None = None,
) -> Scan:
    """Read and check an image, its label map, its mask to ignore and its map of parts; a Scan passes unchanged.

    Without an image the label map stands for it: its mask, 1 where there is any label. The path of a surface (.stl,
    .ply or .vtk) in place of an image stands for a label map of what lies inside it.

    Raises:
        InputError: As `io.images.as_image` and `as_label`; neither an image nor a label map.
    """
    if isinstance(image, Scan):
        return image
    if isinstance(image, (str, os.PathLike)) and is_surface(image):
        if label_map is not None:
            raise InputError(f"{label_map}: the label map of a surface, {image}; give one of the two")
        label = label_of_surface(str(image))
        mask = Image((label.data > 0).astype(np.float32), label.grid, label.name)
        ignored, parts_map = (None if source is None else as_label(source) for source in (ignore, parts))
        # A surface is one vertebra, whatever the other side calls it.
        return Scan(mask, label, number=1, ignore=ignored, drawn=True, parts=parts_map)
    labels = [None if source is None else as_label(source) for source in (label_map, ignore, parts)]
    if image is None:
        if labels[0] is None:
            raise InputError("scan: needs an image or a label map")
        mask = Image((labels[0].data > 0).astype(np.float32), labels[0].grid, labels[0].name)
        return Scan(mask, labels[0], ignore=labels[1], drawn=True, parts=labels[2])
    return Scan(as_image(image), labels[0], ignore=labels[1], parts=labels[2])


def about(scan: Scan, shape: tuple[int, ...]) -> tuple[Image, Image | None]:
    """The parts of image and label map that the network's box about the vertebra can hold, and two voxels more."""
    box = scan.place
    if scan.label_map is None or box is None:
        return scan.image, scan.label_map
    grid = scan.label_map.grid
    corners = grid.index_to_points(box_corners([side.start - 1 for side in box], [side.stop for side in box]))
    low, high = corners.min(axis=0), corners.max(axis=0)
    room = np.maximum((np.array(shape) - (high - low)) / 2, 0) + 3
    return _part(scan.image, low - room, high + room), _part(scan.label_map, low - room, high + room)


def _part(image: Image, low: np.ndarray, high: np.ndarray) -> Image:
    """The part of an image that covers a box, RAS mm, and two voxels more; all of it where it covers nothing of it."""
    index = image.grid.points_to_index(box_corners(low, high))
    start = np.clip(np.floor(index.min(axis=0)) - 2, 0, image.grid.shape).astype(int)
    stop = np.clip(np.ceil(index.max(axis=0)) + 3, 0, image.grid.shape).astype(int)
    if (stop - start < 2).any():
        return image
    return Image(image.data[tuple(map(slice, start, stop))], image.grid.crop(start, stop), image.name)
