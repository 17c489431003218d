"""One vertebra out of a scan, as the network sees it: 1 mm, RAS-oriented, centred, masked, in [0, 1].

Image and label may lie on different grids of any spacing and orientation: both are placed by their headers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acsgreg_tf.anatomy.intensity import HU_RANGE, normalise
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.boxes import bounding_box
from acsgreg_tf.geometry.grid import Grid, box_corners
from acsgreg_tf.geometry.network import NETWORK_SHAPE, network_grid
from acsgreg_tf.geometry.resample import resample
from acsgreg_tf.io.images import Image

__all__ = ["Vertebra", "extract", "is_too_small", "pick_label"]

# A message lists at most so many labels: all vertebrae and then some, but not an intensity image's values.
_SHOWN = 40

# Three times the largest lumbar vertebra.
_MOST_ML = 400

# What has less of both is no vertebra, but voxels that a labelling tool left.
_LEAST_VOXELS, _LEAST_ML = 1000, 0.1

# Of its bounding box: real vertebrae fill 0.11 to 0.23, a solid ellipsoid 0.52, an image with soft tissue round the
# bone nearly all.
_MOST_FILLED = 0.6


@dataclass(frozen=True, eq=False)
class Vertebra:
    """A vertebra in network space.

    Attributes:
        image: (X, Y, Z) float32 in [0, 1], 0 outside of the vertebra.
        label: (X, Y, Z) bool, or None where the image came without a label.
        share: (X, Y, Z) float32, how much of a voxel is vertebra: its mask, interpolated linearly. Where the label's
            voxels lie between those of the grid, it holds the surface more exactly than the mask cut at 0.5.
        grid: Where it lies, a network Grid (1 mm, RAS).
        number: Its number in the label map, or None.
        cut: Whether it is not all there: it touches the scan's edge, or is larger than the grid.
        notes: Warnings about it for the user, lines of text that name the file.
    """

    image: np.ndarray
    label: np.ndarray | None
    share: np.ndarray
    grid: Grid
    number: int | None
    cut: bool
    notes: tuple[str, ...]


def pick_label(label: Image, number: int | None = None) -> int:
    """The number of the vertebra meant in a label map.

    Args:
        label: Label Image.
        number: The requested one; None takes the only one that the map holds.

    Raises:
        InputError: The map is empty, lacks the number, or holds several and none was asked for.
    """
    if number is not None and number > 0 and (label.data == number).any():
        return int(number)
    present = [int(value) for value in np.unique(label.data) if value > 0]
    held = ", ".join(map(str, present[:_SHOWN]))
    if len(present) > _SHOWN:
        held += f" and {len(present) - _SHOWN} more (is it a label map?)"
    if not present:
        raise InputError(f"{label.name}: the label map is empty")
    if number is not None:
        raise InputError(f"{label.name}: does not hold label {number}; it holds {held}")
    if len(present) > 1:
        raise InputError(f"{label.name}: holds the labels {held}; say which one (a label number or a level)")
    return present[0]


def extract(
    image: Image,
    label: Image | None = None,
    number: int | None = None,
    shape: Sequence[int] = NETWORK_SHAPE,
    flag: str = "--fixed-seg or --moving-seg",
) -> Vertebra:
    """The vertebra that a label marks in an image, or that an image shows alone.

    The grid is centred on the middle of the vertebra's bounding box along x, y and z, to a fraction of a voxel,
    where the label's linearly interpolated mask crosses 0.5. In an image that has 1 mm voxels along
    x, y and z already, the middle is moved by up to half a voxel so that voxels fall on voxels and nothing is
    interpolated.

    Intensities are interpolated linearly. HU are cut to [-200, 1500] and scaled to [0, 1]; an image whose
    values all lie in [0, 1] is taken as scaled already and passes as it is. Either is then set to 0 outside
    of the label, whose mask is interpolated linearly and cut at 0.5. Without a label the image must show one
    vertebra on an empty background: what is neither 0 nor, in HU, below -200 stands for the label.

    Args:
        image: Intensity Image.
        label: Label Image, or None.
        number: The vertebra's number in the label; None takes the only one.
        shape: Of the network's grid.
        flag: The option that gives a label map, for messages.

    Returns:
        A Vertebra.

    Raises:
        InputError: Naming the file, when the label is empty, lacks the number or holds several, lies outside
            of the image, is too small to leave a voxel, or marks nothing but background; or when there is no label and
            the image is a whole scan or not masked.
    """
    scaled = image.data.min() >= 0 and image.data.max() <= 1
    if label is None:
        number = None
        mask_grid, name = image.grid, image.name
        mask = image.data != 0 if scaled else (image.data != 0) & (image.data > HU_RANGE[0])
        if not mask.any():
            raise InputError(f"{name}: shows no bone, all its values are 0 or below {HU_RANGE[0]:g} HU")
        _check_alone(mask, mask_grid, name, flag)
    else:
        number = pick_label(label) if number is None else number
        mask_grid, name = label.grid, f"{label.name}: label {number}"
        mask = label.data == number
        voxels = int(np.count_nonzero(mask))
        if not voxels:
            pick_label(label, number)  # raises, and says which labels there are
        if is_too_small(voxels, mask_grid):
            raise InputError(f"{name}: has {voxels} voxel{'' if voxels == 1 else 's'}, too few for a vertebra")
    mask, mask_grid = _trimmed(mask, mask_grid)
    notes = _edge_notes(mask, mask_grid, image, label, name)

    low, high = _bounds(mask, mask_grid, image.grid, name)
    grid = network_grid(_on_lattice((low + high) / 2, image.grid, shape), shape)
    if ((high - low) > np.array(shape) + 1e-3).any():
        size, box = (" x ".join(f"{side:.0f}" for side in sides) for sides in (high - low, shape))
        notes.append(f"{name}: is {size} mm large and does not fit the network's box of {box} mm")

    share = resample(mask, mask_grid, grid)
    inside = share > 0.5
    values = resample(image.data, image.grid, grid, fill=0.0 if scaled else HU_RANGE[0])
    values = np.where(inside, values, 0).astype(np.float32) if scaled else normalise(values, inside)
    if not values.any():
        raise InputError(f"{name}: the image {image.name} shows nothing there")
    return Vertebra(values, None if label is None else inside, share, grid, number, bool(notes), tuple(notes))


def is_too_small(voxels: int, grid: Grid) -> bool:
    """Whether a label has too few voxels for a vertebra."""
    return voxels < _LEAST_VOXELS and voxels * grid.spacing.prod() < 1000 * _LEAST_ML


def _check_alone(mask: np.ndarray, grid: Grid, name: str, flag: str) -> None:
    """Refuse a scan without a label map that shows more than one vertebra alone, by how much of it is not empty."""
    millilitres = np.count_nonzero(mask) * grid.spacing.prod() / 1000
    if millilitres > _MOST_ML:
        raise InputError(
            f"{name}: shows {millilitres:.0f} ml that are not empty, more than a vertebra has; a whole scan needs a "
            f"label map ({flag})"
        )
    box = bounding_box(mask)
    if box == tuple(slice(0, side) for side in mask.shape) and mask.mean() > _MOST_FILLED:
        raise InputError(
            f"{name}: is not empty from edge to edge ({100 * mask.mean():.0f} %), so it shows more than a vertebra; an "
            f"image that is not masked needs a label map ({flag})"
        )


def _trimmed(mask: np.ndarray, grid: Grid) -> tuple[np.ndarray, Grid]:
    """The mask's bounding box with one voxel round it, which may lie outside of the grid, and where that lies."""
    box = bounding_box(mask)
    start = [side.start - 1 for side in box]
    stop = [side.stop + 1 for side in box]
    return np.pad(mask[box], 1), grid.crop(start, stop)


def _edge_notes(mask: np.ndarray, mask_grid: Grid, image: Image, label: Image | None, name: str) -> list[str]:
    """One note if the vertebra reaches the edge of its scan or of its label map."""
    index = np.argwhere(mask)
    points = mask_grid.index_to_points(index)
    notes = []
    for source in (image, label):
        if source is None:
            continue
        at = source.grid.points_to_index(points)
        if not source.grid.contains_index(at).any():
            raise InputError(f"{name}: lies outside of the image {source.name}; are they of the same scan?")
        # Within half a voxel of the outermost voxel centres, or beyond them.
        edge = (at < 0.5 - 1e-3) | (at > np.array(source.grid.shape) - 1.5 + 1e-3)
        if edge.any():
            if label is None:
                notes.append(
                    f"{name}: the image is not empty at its edge, so the vertebra is cut or the image not masked"
                )
            else:
                notes.append(f"{name}: reaches the edge of {source.name}, so the vertebra is cut")
            break
    return notes


def _bounds(mask: np.ndarray, mask_grid: Grid, image_grid: Grid, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The box (low, high) along x, y and z, RAS mm, outside which the interpolated mask stays below 0.5."""
    corners = mask_grid.index_to_points(box_corners((0, 0, 0), np.subtract(mask.shape, 1)))
    low, high = corners.min(axis=0), corners.max(axis=0)
    shape = np.ceil(high - low).astype(int) + 5
    grid = network_grid(_on_lattice((low + high) / 2, image_grid, shape), shape)
    bone = resample(mask, mask_grid, grid)
    if bone.max() <= 0.5:
        raise InputError(f"{name}: has {np.count_nonzero(mask)} voxels, too few for a vertebra")
    bounds = []
    for axis in range(3):
        profile = bone.max(axis=tuple(other for other in range(3) if other != axis))
        inside = np.flatnonzero(profile > 0.5)
        ends = []
        for at, step in ((inside[0], -1), (inside[-1], 1)):
            ends.append(at + step * (profile[at] - 0.5) / (profile[at] - profile[at + step]))
        bounds.append(ends)
    low, high = (grid.index_to_points(ends) for ends in np.transpose(bounds))
    return low, high


def _on_lattice(center: np.ndarray, image_grid: Grid, shape: Sequence[int]) -> np.ndarray:
    """`center` moved by up to half a voxel onto the lattice of an image of 1 mm voxels along x, y and z."""
    linear = np.abs(image_grid.affine[:3, :3])
    if not np.allclose(np.sort(linear, axis=0), [[0], [0], [1]], atol=1e-4):
        return center
    first = image_grid.affine[:3, 3] + (np.array(shape) - 1) / 2
    # Ties are common (an odd extent in an even box), so rounding errors must not decide them.
    return first + np.floor(center - first + 0.5 + 1e-3)
