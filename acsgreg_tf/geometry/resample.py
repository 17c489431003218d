"""Images and labels from one grid onto another, sampled once however many transforms lie between."""

import numpy as np
from scipy.ndimage import map_coordinates

from acsgreg_tf.errors import InputError
from acsgreg_tf.fields import look_up, look_up_label
from acsgreg_tf.geometry.boxes import bounding_box, ends, grown
from acsgreg_tf.geometry.grid import FACE, Grid, box_corners
from acsgreg_tf.geometry.transforms import Transform

# Every possible label takes an entry; a larger number is an intensity image taken for a label map.
LARGEST_LABEL = 1_000_000


def resample(
    image: np.ndarray,
    image_grid: Grid,
    reference_grid: Grid,
    transform: Transform | None = None,
    order: int = 1,
    fill: float = 0.0,
) -> np.ndarray:
    """Sample `image` at `transform(x)` for every voxel centre x of `reference_grid`.

    Borders are ITK's: up to half a voxel beyond the outermost voxel centres the border value holds, and from
    there on `fill`. Work goes by slabs, and only where the image can be reached, so a whole CT as reference
    is no burden.

    Args:
        image: (X, Y, Z), any plain number type.
        image_grid: Its Grid.
        reference_grid: The Grid of the result.
        transform: A Transform from reference (fixed) to image (moving) RAS mm; None is the identity.
        order: 1 linear, 0 nearest.
        fill: The value outside of the image.

    Returns:
        An array of the reference grid's shape: float32 for order 1, the image's own type for order 0.

    Raises:
        InputError: The image does not fit its grid.
        ValueError: `order` is neither 0 nor 1.
    """
    image = np.asarray(image)
    if image.shape != image_grid.shape:
        raise InputError(f"image of shape {image.shape} on a grid of shape {image_grid.shape}")
    if order not in (0, 1):
        raise ValueError(f"order must be 0 (nearest) or 1 (linear), got {order!r}")
    result = np.full(reference_grid.shape, fill, image.dtype if order == 0 else np.float32)
    start, stop = _reached(image_grid, reference_grid, transform)
    if np.any(stop <= start):
        return result
    to_index = np.linalg.inv(image_grid.affine)[:3]
    if order == 1 and image.dtype == bool:
        image = image.view(np.uint8)
    within = result[tuple(map(slice, start, stop))]
    grid = reference_grid.crop(start, stop)

    def fill_slab(slab: tuple[int, int]) -> None:
        points = grid.points(*slab)
        if transform is not None:
            points = transform.apply(points)
        if order == 1:
            within[slice(*slab)] = look_up(image, points, to_index, FACE, fill)
            return
        index = image_grid.points_to_index(points)
        values = map_coordinates(image, np.moveaxis(index, -1, 0), result.dtype, order=0, mode="nearest")
        values[~image_grid.contains_index(index)] = fill
        within[slice(*slab)] = values

    for slab in grid.slabs():
        fill_slab(slab)
    return result


def resample_label(
    label: np.ndarray, label_grid: Grid, reference_grid: Grid, transform: Transform | None = None
) -> np.ndarray:
    """Sample a label map: each value's mask is interpolated linearly and is there where it exceeds 0.5.

    Smoother borders than nearest neighbour. No two values can exceed 0.5 at one point; where three or more
    meet and none does, the result is background.

    Args:
        label: (X, Y, Z), boolean or integer; values up to 0 are background.
        label_grid: Its Grid.
        reference_grid: The Grid of the result.
        transform: As in `resample`.

    Returns:
        An array of the reference grid's shape and the label's type.

    Raises:
        InputError: The label does not fit its grid, or is not of a boolean or integer type, or holds a value
            above one million.
    """
    label = np.asarray(label)
    if label.dtype == bool:
        return resample_label(label.view(np.uint8), label_grid, reference_grid, transform).view(bool)
    if not np.issubdtype(label.dtype, np.integer):
        raise InputError(f"a label map must hold integers or booleans, got {label.dtype}")
    if label.shape != label_grid.shape:
        raise InputError(f"label of shape {label.shape} on a grid of shape {label_grid.shape}")
    largest = label.max()
    if largest > LARGEST_LABEL:
        raise InputError(f"label {largest}: a label map's values may be at most {LARGEST_LABEL}")
    result = np.zeros(reference_grid.shape, label.dtype)
    if largest <= 0:
        return result
    # One voxel of background around, so that the box does not end where the labels do.
    box = grown(bounding_box(label > 0), label.shape, 1)
    label, label_grid = label[box].astype(np.int32), label_grid.crop(*ends(box))
    first, last = _reached(label_grid, reference_grid, transform)
    if np.any(last <= first):
        return result
    within, grid = result[tuple(map(slice, first, last))], reference_grid.crop(first, last)
    to_index = np.linalg.inv(label_grid.affine)[:3]
    for slab in grid.slabs():
        points = grid.points(*slab)
        within[slice(*slab)] = look_up_label(
            label, points if transform is None else transform.apply(points), to_index, FACE
        )
    return result


def _reached(image_grid: Grid, reference_grid: Grid, transform: Transform | None) -> tuple[np.ndarray, np.ndarray]:
    """The index box (start, stop) of the reference outside which nothing lands in the image."""
    corners = image_grid.index_to_points(box_corners((-0.5,) * 3, np.subtract(image_grid.shape, 0.5)))
    if transform is not None:
        low, high = transform.reach(corners.min(axis=0), corners.max(axis=0))
        corners = box_corners(low, high)
    index = reference_grid.points_to_index(corners)
    # One voxel more on each side is cheaper than arguing about rounding.
    start = np.floor(index.min(axis=0)) - 1
    stop = np.ceil(index.max(axis=0)) + 2
    start, stop = (np.clip(edge, 0, reference_grid.shape).astype(int) for edge in (start, stop))
    return start, stop
