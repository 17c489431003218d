"""The picture of one registration, for the eye to judge (after the paper's Figure 6)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from acsgreg_tf import metrics
from acsgreg_tf.anatomy.intensity import HU_RANGE
from acsgreg_tf.errors import InputError
from acsgreg_tf.metrics.checks import check_spacing
from acsgreg_tf.registration.drawing import (
    FIXED,
    MOVING,
    PANEL,
    PlaneView,
    draw_grid,
    draw_length,
    grey_window,
    length_range,
    plane_views,
    save_figure,
)
from acsgreg_tf.registration.surface_view import draw_surface_distance, surface_distance_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["registration_figure", "save_figure"]


Volumes = dict[str, np.ndarray]


def registration_figure(
    fixed: np.ndarray,
    moving: np.ndarray,
    affine_moved: np.ndarray,
    moved: np.ndarray,
    displacement: np.ndarray | None = None,
    labels: Mapping[str, np.ndarray] | None = None,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    title: str | None = None,
    hu: bool = False,
) -> "Figure":
    """Fixed, moving, affinely and finally moved image, and what lies on what before and after.

    Three rows, the middle transversal, sagittal and coronal plane (through the fixed label's centre of mass where there
    is one, else through the volume's middle), shown as far as the labels, or else the images, reach. Columns: fixed,
    moving, affine, deformable, overlay before, overlay after; with a displacement, its length in mm and phi as a
    deformed grid; with labels, the fixed one's surface as it is seen along the row's axis, coloured by its distance
    from the moved one's (`registration.surface_view`). All images share one grey window. Axes are in mm from the
    volume's centre, with the anatomical directions on the borders. The grid shows the points x + u(x) of every few
    voxels, in the plane; red dots are folds (as in `metrics.folds`).

    Args:
        fixed: Image (X, Y, Z), RAS-oriented.
        moving: Image on the same grid.
        affine_moved: The moving image after the affine.
        moved: The moving image after both parts.
        displacement: Optional (X, Y, Z, 3) in voxels of that grid, pull direction: the deformable part.
        labels: Optional mapping with (X, Y, Z) labels "fixed", "moving" and "moved": the overlays then show contours,
            and Dice over the whole volume, instead of two colours blended.
        spacing: Size of a voxel in mm, three numbers.
        title: Optional heading.
        hu: Whether the images are CT scaled to [0, 1] (`anatomy.intensity`): the window is then given in HU.

    Returns:
        matplotlib Figure; write it with `save_figure`.

    Raises:
        InputError: Shapes differ, a label is missing, the spacing is not three positive numbers, or no finite value is
            shown.
    """
    images = _checked_images({"fixed": fixed, "moving": moving, "affine": affine_moved, "deformable": moved})
    shape, millimetres = images["fixed"].shape, check_spacing(spacing)
    masks = None if labels is None else _checked_labels(labels, shape)
    if displacement is not None:
        displacement = np.asarray(displacement, np.float32)
        if displacement.shape != (*shape, 3):
            raise InputError(f"displacement: shape {displacement.shape} is not the images' {(*shape, 3)}")

    whole = list(images.values() if masks is None else masks.values())
    views = plane_views(whole, None if masks is None else masks["fixed"], millimetres)
    figure, axes = _page(views, columns=6 + 2 * (displacement is not None) + (masks is not None))
    window = grey_window(images.values(), views)
    _draw_images(axes, views, images, masks, window)
    bars = []
    if displacement is not None:
        reach = length_range(displacement, millimetres)
        bars.append((6, draw_length(axes[:, 6], views, displacement, millimetres, reach)))
        draw_grid(axes[:, 7], views, displacement, millimetres)
    if masks is not None:
        distance = surface_distance_map(masks["fixed"], masks["moved"], millimetres)
        for view, ax in zip(views, axes[:, -1]):
            colours = draw_surface_distance(ax, view, masks["fixed"], distance)
        bars.append((-1, colours))
    _frame_rows(axes, views)
    for column, colours in bars:
        below = axes[-1, column].inset_axes((0.05, -0.22, 0.9, 0.07))
        bar = figure.colorbar(colours, cax=below, orientation="horizontal")
        bar.ax.tick_params(labelsize=6, length=2)
        bar.set_label("mm", fontsize=6)
    _add_legend(figure)
    figure.supxlabel(_window_note(window, hu), x=0.02, ha="left", fontsize=7)
    if title is not None:
        figure.suptitle(title, fontsize=10)
    return figure


def _window_note(window: tuple[float, float], hu: bool) -> str:
    """The grey window in words."""
    if hu:
        low, high = (HU_RANGE[0] + value * (HU_RANGE[1] - HU_RANGE[0]) for value in window)
        return f"grey window {low:.0f} to {high:.0f} HU, black outside of the labels"
    return f"grey window {window[0]:.4g} to {window[1]:.4g}"


def _checked_images(images: Volumes) -> Volumes:
    images = {name: np.asarray(image, np.float32) for name, image in images.items()}
    shape = images["fixed"].shape
    if len(shape) != 3 or any(image.shape != shape for image in images.values()):
        shapes = ", ".join(f"{name} {image.shape}" for name, image in images.items())
        raise InputError(f"images: {shapes} are not one shape (X, Y, Z)")
    return images


def _checked_labels(labels: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> Volumes:
    """The three labels as masks."""
    missing = {"fixed", "moving", "moved"} - set(labels)
    if missing:
        raise InputError(f"labels: no {', '.join(sorted(missing))} label, and the overlays need all three")
    masks = {name: np.asarray(labels[name]) != 0 for name in ("fixed", "moving", "moved")}
    for name, mask in masks.items():
        if mask.shape != shape:
            raise InputError(f"labels: {name} has shape {mask.shape}, not the images' {shape}")
    return masks


def _page(views: Sequence[PlaneView], columns: int) -> tuple["Figure", np.ndarray]:
    """An empty page and its axes (views, columns)."""
    from matplotlib.figure import Figure

    # Everything's size is known, so no layout engine measures the texts (two seconds).
    heights = [PANEL * view.height / view.width for view in views]
    left, right, top, between_columns, between_rows = 0.8, 0.15, 0.8, 0.1, 0.45
    bottom = 0.95 if columns > 6 else 0.7
    width = left + columns * PANEL + (columns - 1) * between_columns + right
    height = bottom + sum(heights) + (len(heights) - 1) * between_rows + top
    figure = Figure(figsize=(width, height), dpi=150)
    places = {
        "left": left / width,
        "right": 1 - right / width,
        "bottom": bottom / height,
        "top": 1 - top / height,
        "wspace": between_columns / PANEL,
        "hspace": between_rows / np.mean(heights),
        "height_ratios": heights,
    }
    return figure, figure.subplots(len(views), columns, squeeze=False, gridspec_kw=places)


def _draw_images(
    axes: np.ndarray, views: Sequence[PlaneView], images: Volumes, masks: Volumes | None, window: tuple[float, float]
) -> None:
    """Draw the four images and the two overlays."""
    overlays = (("before", "moving", "moving"), ("after", "deformable", "moved"))
    for view, row in zip(views, axes):
        for ax, (name, image) in zip(row, images.items()):
            view.show(ax, image, window)
            ax.set_title(name)
        for ax, (title, image_name, mask_name) in zip(row[4:6], overlays):
            if masks is None:
                _draw_blend(ax, view, images["fixed"], images[image_name], window)
            else:
                _draw_contours(ax, view, images["fixed"], masks["fixed"], masks[mask_name], window)
                title += f"\nDice {metrics.dice(masks['fixed'], masks[mask_name]):.3f}"
            ax.set_title(title)


def _draw_contours(
    ax: "Axes",
    view: PlaneView,
    image: np.ndarray,
    fixed: np.ndarray,
    moving: np.ndarray,
    window: tuple[float, float],
) -> None:
    ax.imshow(view.cut(image), cmap="gray", vmin=window[0], vmax=window[1], **view.placed)
    view.contour(ax, fixed, FIXED, 1.8)  # wider, to be seen under a contour that agrees
    view.contour(ax, moving, MOVING, 0.8)


def _draw_blend(
    ax: "Axes", view: PlaneView, fixed: np.ndarray, moving: np.ndarray, window: tuple[float, float]
) -> None:
    from matplotlib.colors import to_rgb

    low, high = window
    layers = ((fixed, FIXED), (moving, MOVING))
    both = sum(
        np.clip((view.cut(layer) - low) / (high - low), 0, 1)[..., None] * to_rgb(colour) for layer, colour in layers
    )
    ax.imshow(np.clip(np.nan_to_num(both), 0, 1), **view.placed)


def _frame_rows(axes: np.ndarray, views: Sequence[PlaneView]) -> None:
    """Draw frames and directions; the columns are named once."""
    for view, row in zip(views, axes):
        for column, ax in enumerate(row):
            view.frame(ax, first=column == 0, dark=column < 7)
    for ax in axes[1:].ravel():
        ax.set_title(ax.get_title().split("\n")[1] if ax.get_title().startswith("distance") else "")
        ax.title.set_fontsize(8)


def _add_legend(figure: "Figure") -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(color=FIXED, label="fixed"),
        Patch(color=MOVING, label="moving (before), moved (after)"),
    ]
    figure.legend(handles=handles, loc="lower right", ncols=2, fontsize=7, frameon=False)
