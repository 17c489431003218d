"""The studies' figures: losses over epochs (the paper's Figure 5) and methods beside each other (its Figure 6)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.registration.drawing import (
    PANEL,
    PlaneView,
    colour_range,
    draw_colours,
    draw_grid,
    grey_window,
    plane_views,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Of one method on a pair: m_a, m_d and phi.
Outputs = tuple[np.ndarray, np.ndarray, np.ndarray]


def loss_figure(curves: Mapping[str, Mapping[str, Sequence[float]]], title: str | None = None) -> "Figure":
    """Loss against epoch of several networks, the affine part left and the deformable part right.

    Args:
        curves: {network's name: {"affine": values, "deformable": values}}, one value an epoch, from the first.
        title: Optional heading.

    Returns:
        matplotlib Figure; write it with `registration.drawing.save_figure`.

    Raises:
        InputError: No curve, or one without a value.
    """
    if not curves or not all(len(values) for parts in curves.values() for values in parts.values()):
        raise InputError("curves: no loss to show")

    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 3.8), dpi=150, layout="constrained")
    for ax, part in zip(figure.subplots(1, 2), ("affine", "deformable")):
        for (name, parts), style in zip(curves.items(), ("-", "--", "-.", ":")):
            epochs = np.arange(1, len(parts[part]) + 1)
            # A line through one value is not to be seen, and neither are the epochs of a short run.
            ax.plot(epochs, parts[part], style, marker="o" if len(epochs) < 30 else None, markersize=3, label=name)
        ax.set(title=f"{part} part", xlabel="epoch", ylabel="loss, −LNCC")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(alpha=0.3)
        ax.legend()
    if title is not None:
        figure.suptitle(title, fontsize=10)
    return figure


def comparison_figure(
    fixed: np.ndarray,
    moving: np.ndarray,
    outputs: Mapping[str, Outputs],
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    label: np.ndarray | None = None,
    title: str | None = None,
) -> "Figure":
    """What several methods make of one pair.

    Two rows a method, the middle transversal and the middle sagittal plane, placed as in
    `registration.figure.registration_figure`. Columns: the moving image m, the fixed image f, m after the affine (m_a),
    m after both (m_d), phi as RGB, phi as a deformed grid. All images share one grey window, all phi one range of
    colours.

    Args:
        fixed: Image (X, Y, Z), RAS-oriented.
        moving: Image on the same grid.
        outputs: {method's name: (m_a, m_d, phi)}, images (X, Y, Z) and a displacement (X, Y, Z, 3) in voxels of that
            grid.
        spacing: Size of a voxel in mm, three numbers.
        label: Optional (X, Y, Z) label of the fixed vertebra, through whose centre of mass the planes then go.
        title: Optional heading.

    Returns:
        matplotlib Figure; write it with `registration.drawing.save_figure`.

    Raises:
        InputError: Shapes differ, no method, or no finite value is shown.
    """
    fixed, moving = np.asarray(fixed, np.float32), np.asarray(moving, np.float32)
    methods = {name: tuple(np.asarray(part, np.float32) for part in parts) for name, parts in outputs.items()}
    millimetres = np.asarray(spacing, float)
    _check(fixed, moving, methods)

    from matplotlib.figure import Figure

    images = [fixed, moving, *(image for m_a, m_d, _ in methods.values() for image in (m_a, m_d))]
    views = plane_views(images if label is None else [fixed, moving, label], label, millimetres, coronal=False)
    heights = [view.height / view.width for view in views] * len(methods)
    size = 6 * PANEL + 1.2, sum(heights) * PANEL + 0.6 * len(methods) + 0.9
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    window = grey_window(images, views)
    reach = max(colour_range(phi, millimetres) for *_, phi in methods.values())
    parts = figure.subfigures(len(methods), 1, squeeze=False)[:, 0]
    for part, (name, (m_a, m_d, phi)) in zip(parts, methods.items()):
        part.suptitle(name, fontsize=9, x=0.01, ha="left", fontweight="bold")
        axes = part.subplots(2, 6, squeeze=False, gridspec_kw={"height_ratios": heights[:2]})
        shown = {"m (moving)": moving, "f (fixed)": fixed, "m_a (affine)": m_a, "m_d (final)": m_d}
        _draw_images(axes, views, shown, window)
        key = draw_colours(axes[:, 4], views, phi, millimetres, reach)
        draw_grid(axes[:, 5], views, phi, millimetres)
        _finish_rows(axes, views)
    note = f"grey window {window[0]:.4g} to {window[1]:.4g}; {key}; red dots are folds"
    figure.supxlabel(note, x=0.02, ha="left", fontsize=7)
    if title is not None:
        figure.suptitle(title, fontsize=10)
    return figure


def _check(fixed: np.ndarray, moving: np.ndarray, methods: Mapping[str, tuple[np.ndarray, ...]]) -> None:
    if not methods:
        raise InputError("outputs: no method to show")
    if fixed.ndim != 3 or moving.shape != fixed.shape:
        raise InputError(f"images: the moving one's shape {moving.shape} is not the fixed one's {fixed.shape}")
    for name, (m_a, m_d, phi) in methods.items():
        if m_a.shape != fixed.shape or m_d.shape != fixed.shape:
            raise InputError(f"images: those of {name} are not of the fixed image's shape {fixed.shape}")
        if phi.shape != (*fixed.shape, 3):
            raise InputError(f"displacement: {name} has shape {phi.shape}, not the images' {(*fixed.shape, 3)}")


def _draw_images(
    axes: np.ndarray, views: Sequence[PlaneView], images: Mapping[str, np.ndarray], window: tuple[float, float]
) -> None:
    for view, row in zip(views, axes):
        for ax, (title, image) in zip(row, images.items()):
            view.show(ax, image, window)
            ax.set_title(title)


def _finish_rows(axes: np.ndarray, views: Sequence[PlaneView]) -> None:
    """Draw frames and directions; the columns are named once."""
    for view, row in zip(views, axes):
        for column, ax in enumerate(row):
            view.frame(ax, first=column == 0, dark=column < 5)
    for ax in axes[1]:
        ax.set_title("")
