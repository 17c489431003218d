"""A label's surface seen along one axis, coloured by how far it lies from another label's surface."""

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from acsgreg_tf.geometry.boxes import bounding_box, grown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable

    from acsgreg_tf.registration.drawing import PlaneView

__all__ = ["COLOURS", "MOST_MM", "draw_surface_distance", "first_along", "surface_distance_map"]

# The distance that gets the fullest colour, mm, and matplotlib's colours.
MOST_MM = 2.0
COLOURS = "YlOrRd"
# Of each plane: whence one looks, such that left and right are as in the plane; -1 looks from the axis's upper end.
_SEEN = {"transversal": ("below", 1), "sagittal": ("the left", 1), "coronal": ("the front", -1)}


def surface_distance_map(fixed: np.ndarray, moved: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """How far the moved label's surface lies from the fixed one's, mm, for voxels near the fixed surface.

    It is the difference of the two signed distances, smoothed by a voxel's steps.

    Args:
        fixed: (X, Y, Z) bool.
        moved: (X, Y, Z) bool.
        spacing: Size of a voxel in mm, (3,).

    Returns:
        (X, Y, Z) float64, never negative; infinite where a label is empty.
    """
    if not (fixed.any() and moved.any()):
        return np.full(fixed.shape, np.inf)
    result = np.zeros(fixed.shape)
    # Both labels, and room for what the filter reaches.
    box = grown(bounding_box(fixed | moved), fixed.shape, 7)
    near = ndimage.binary_dilation(fixed[box], iterations=2)
    signed = [
        ndimage.distance_transform_edt(~mask, sampling=spacing) - ndimage.distance_transform_edt(mask, sampling=spacing)
        for mask in (fixed[box], moved[box])
    ]
    result[box] = np.where(near, np.abs(ndimage.gaussian_filter(signed[1] - signed[0], 1.0)), 0.0)
    return result


def first_along(mask: np.ndarray, axis: int, sign: int) -> tuple[np.ndarray, np.ndarray]:
    """The first voxel of a mask on each line along an axis.

    Args:
        mask: (X, Y, Z) bool.
        axis: Along which one looks.
        sign: 1 from its lower end, -1 from its upper end.

    Returns:
        Its index along the axis (0 where there is none) and whether there is one, both of the other two axes' shape.
    """
    seen = mask if sign > 0 else np.flip(mask, axis)
    index = seen.argmax(axis=axis)
    if sign < 0:
        index = mask.shape[axis] - 1 - index
    hit = np.asarray(mask.any(axis=axis))
    return np.where(hit, index, 0), hit


def draw_surface_distance(ax: "Axes", view: "PlaneView", fixed: np.ndarray, distance: np.ndarray) -> "ScalarMappable":
    """Draw the fixed label's surface as it is seen along the view's axis, shaded, coloured by a distance.

    Args:
        ax: Where.
        view: The plane along whose axis one looks.
        fixed: (X, Y, Z) bool.
        distance: (X, Y, Z), mm, from `surface_distance_map`.

    Returns:
        What a colour bar needs.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    whence, sign = _SEEN[view.name]
    index, hit = first_along(fixed, view.axis, sign)
    value = np.take_along_axis(distance, np.expand_dims(index, view.axis), view.axis).squeeze(view.axis)
    colours = ScalarMappable(Normalize(0, MOST_MM), colormaps[COLOURS])
    picture = colours.to_rgba(np.clip(value, 0, MOST_MM))
    slopes = np.gradient(ndimage.gaussian_filter(np.where(hit, index, 0).astype(float), 0.7))
    shade = 0.45 + 0.55 / np.sqrt(1 + np.square(slopes[0]) + np.square(slopes[1]))
    picture[..., :3] *= shade[..., None]
    picture[~hit] = 0  # transparent
    ax.imshow(np.swapaxes(picture, 0, 1), **view.placed)
    ax.set_title(f"distance\nfrom {whence}")
    return colours
