"""Pictures of registrations, for the eye to judge (after the paper's Figure 6), and of their training (its Figure 5).

matplotlib is imported when a figure is drawn, and its pyplot state and chosen backend are left alone.
"""

from pathlib import Path

import numpy as np

from acsgreg_tf import metrics
from acsgreg_tf.errors import InputError

__all__ = ["comparison_figure", "loss_figure", "registration_figure", "save_figure"]

# Shown as a radiologist sees them, the patient's right and front on the left of the picture:
# name, axis that is cut, (horizontal, vertical) axes; both horizontal axes run from right to left.
_PLANES = (("transversal", 2, (0, 1)), ("sagittal", 0, (1, 2)))
_LOW, _HIGH, _NAME = "LPI", "RAS", "xyz"
_FIXED, _MOVING = "#00d5ff", "#ff4a1c"  # near complementary: where both are, the blend is grey or white
_GRID_LINES = 32
_MARGIN = 6.0  # mm of surroundings shown


def registration_figure(
    fixed,
    moving,
    affine_moved,
    moved,
    displacement=None,
    labels=None,
    spacing=(1.0, 1.0, 1.0),
    title=None,
):
    """Fixed, moving, affinely and finally moved image, and what lies on what before and after.

    Two rows, the middle transversal and the middle sagittal plane (through the fixed label's centre of mass
    where there is one, else through the volume's middle), shown as far as the labels, or else the images,
    reach. Columns: fixed, moving, affine, deformable, overlay before, overlay after and, with a displacement,
    phi as RGB and as a deformed grid. All images share one grey window. Axes are in mm from the volume's
    centre, with the anatomical directions on the borders. The grid shows the points x + u(x) of every few
    voxels, in the plane; red dots are folds (forward differences, as in `acsgreg_tf.metrics.folds`).

    Args:
        fixed, moving, affine_moved, moved: (X, Y, Z) images on one RAS-oriented grid.
        displacement: optional (X, Y, Z, 3) in voxels of that grid, pull direction: the deformable part.
        labels: optional mapping with (X, Y, Z) labels "fixed", "moving" and "moved": the overlays then show
            contours, and Dice over the whole volume, instead of two colours blended.
        spacing: size of a voxel in mm, three numbers.
        title: optional heading.

    Returns:
        matplotlib Figure; write it with `save_figure`.

    Raises:
        InputError: shapes differ, a label is missing, the spacing is not three positive numbers, or no finite
            value is to be seen.
    """
    images = {"fixed": fixed, "moving": moving, "affine": affine_moved, "deformable": moved}
    images = {name: np.asarray(image, np.float32) for name, image in images.items()}
    shape = images["fixed"].shape
    if len(shape) != 3 or any(image.shape != shape for image in images.values()):
        shapes = ", ".join(f"{name} {image.shape}" for name, image in images.items())
        raise InputError(f"images: {shapes} are not one shape (X, Y, Z)")
    spacing = np.asarray(spacing, float)
    if spacing.shape != (3,) or not (np.isfinite(spacing) & (spacing > 0)).all():
        raise InputError(f"spacing: {spacing.tolist()} is not three positive numbers (mm)")
    if labels is not None:
        labels = _check_labels(labels, shape)
    if displacement is not None:
        displacement = np.asarray(displacement, np.float32)
        if displacement.shape != (*shape, 3):
            raise InputError(f"displacement: shape {displacement.shape} is not the images' {(*shape, 3)}")

    from matplotlib.figure import Figure

    region = _occupied(images.values() if labels is None else labels.values(), spacing)
    middle = np.add(shape, -1) // 2
    if labels is not None and labels["fixed"].any():
        middle = np.rint(np.mean(np.nonzero(labels["fixed"]), axis=1)).astype(int)
    views = [_View(shape, spacing, plane, middle, region) for plane in _PLANES]
    columns = 6 if displacement is None else 8
    heights = [view.height / view.width for view in views]
    width = 1.9  # inches a panel
    figure = Figure(figsize=(columns * width + 0.9, sum(heights) * width + 1.35), dpi=150, layout="constrained")
    axes = figure.subplots(2, columns, squeeze=False, gridspec_kw={"height_ratios": heights})

    window = _window(images.values(), views)
    for view, row in zip(views, axes):
        for ax, (name, image) in zip(row, images.items()):
            ax.imshow(view.cut(image), cmap="gray", vmin=window[0], vmax=window[1], **view.placed)
            ax.set_facecolor("black")  # where an image has no finite value
            ax.set_title(name)
        for ax, when, other in ((row[4], "before", "moving"), (row[5], "after", "moved")):
            _draw_overlay(ax, view, images, labels, window, other)
            overlap = f"\nDice {metrics.dice(labels['fixed'], labels[other]):.3f}" if labels else ""
            ax.set_title(when + overlap)
    note = f"grey window {window[0]:.4g} to {window[1]:.4g}"
    if displacement is not None:
        note += "; " + _draw_displacement(axes[:, 6:], views, displacement, spacing)
    for view, row in zip(views, axes):
        for column, ax in enumerate(row):
            view.frame(ax, first=column == 0, dark=column < 7)
    for ax in axes[1]:
        ax.set_title("")  # the columns are named once

    from matplotlib.patches import Patch

    figure.legend(
        handles=[
            Patch(color=_FIXED, label="fixed"),
            Patch(color=_MOVING, label="moving (before), moved (after)"),
        ],
        loc="outside lower right",
        ncols=2,
        fontsize=7,
        frameon=False,
    )
    figure.supxlabel(note, x=0.02, ha="left", fontsize=7)
    if title is not None:
        figure.suptitle(title, fontsize=10)
    return figure


def comparison_figure(fixed, moving, answers, spacing=(1.0, 1.0, 1.0), label=None, title=None):
    """What several methods make of one pair: the paper's Figure 6.

    Two rows a method, the middle transversal and the middle sagittal plane, placed as in `registration_figure`. Columns: the
    moving image m, the fixed image f, m after the affine (m_a), m after both (m_d), phi as RGB, phi as a deformed grid. All
    images share one grey window, all phi one range of colours.

    Args:
        fixed, moving: (X, Y, Z) images on one RAS-oriented grid.
        answers: {method's name: (m_a, m_d, phi)}, images (X, Y, Z) and a displacement (X, Y, Z, 3) in voxels of that grid.
        spacing: size of a voxel in mm, three numbers.
        label: optional (X, Y, Z) label of the fixed vertebra, through whose centre of mass the planes then go.
        title: optional heading.

    Returns:
        matplotlib Figure; write it with `save_figure`.

    Raises:
        InputError: shapes differ, no method, or no finite value is to be seen.
    """
    fixed, moving = np.asarray(fixed, np.float32), np.asarray(moving, np.float32)
    answers = {name: tuple(np.asarray(part, np.float32) for part in parts) for name, parts in answers.items()}
    spacing = np.asarray(spacing, float)
    if not answers:
        raise InputError("answers: no method to show")
    for name, (m_a, m_d, phi) in {"moving": (moving, moving, None), **answers}.items():
        if fixed.ndim != 3 or m_a.shape != fixed.shape or m_d.shape != fixed.shape:
            raise InputError(f"images: those of {name} are not of the fixed image's shape {fixed.shape}")
        if phi is not None and phi.shape != (*fixed.shape, 3):
            raise InputError(f"displacement: {name} has shape {phi.shape}, not the images' {(*fixed.shape, 3)}")

    from matplotlib.figure import Figure

    images = [fixed, moving, *(image for m_a, m_d, _ in answers.values() for image in (m_a, m_d))]
    region = _occupied(images if label is None else [fixed, moving, label], spacing)
    middle = np.add(fixed.shape, -1) // 2
    if label is not None and np.any(label):
        middle = np.rint(np.mean(np.nonzero(label), axis=1)).astype(int)
    views = [_View(fixed.shape, spacing, plane, middle, region) for plane in _PLANES]
    heights = [view.height / view.width for view in views] * len(answers)
    width = 1.9  # inches a panel
    figure = Figure(
        figsize=(6 * width + 1.2, sum(heights) * width + 0.6 * len(answers) + 0.9), dpi=150, layout="constrained"
    )
    window = _window(images, views)
    reach = max(_reach(phi * spacing) for *_, phi in answers.values())
    note = ""
    for part, (name, (m_a, m_d, phi)) in zip(figure.subfigures(len(answers), 1, squeeze=False)[:, 0], answers.items()):
        part.suptitle(name, fontsize=9, x=0.01, ha="left", fontweight="bold")
        axes = part.subplots(2, 6, squeeze=False, gridspec_kw={"height_ratios": heights[:2]})
        shown = (("m (moving)", moving), ("f (fixed)", fixed), ("m_a (affine)", m_a), ("m_d (final)", m_d))
        for view, row in zip(views, axes):
            for ax, (head, image) in zip(row, shown):
                ax.imshow(view.cut(image), cmap="gray", vmin=window[0], vmax=window[1], **view.placed)
                ax.set_facecolor("black")
                ax.set_title(head)
        note = _draw_displacement(axes[:, 4:], views, phi, spacing, reach)
        for view, row in zip(views, axes):
            for column, ax in enumerate(row):
                view.frame(ax, first=column == 0, dark=column < 5)
        for ax in axes[1]:
            ax.set_title("")
    figure.supxlabel(
        f"grey window {window[0]:.4g} to {window[1]:.4g}; {note}; red dots are folds", x=0.02, ha="left", fontsize=7
    )
    if title is not None:
        figure.suptitle(title, fontsize=10)
    return figure


def loss_figure(curves, title=None):
    """Loss against epoch of several networks, the affine part left and the deformable part right: the paper's Figure 5.

    Args:
        curves: {network's name: {"affine": values, "deformable": values}}, one value an epoch, from the first.
        title: optional heading.

    Returns:
        matplotlib Figure; write it with `save_figure`.

    Raises:
        InputError: no curve, or one without a value.
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


def save_figure(figure, path):
    """Write a matplotlib Figure; the path's ending decides the format (.png, .pdf, .svg).

    Raises:
        InputError: an unknown ending, or a place that cannot be written. No half-written file is left.
    """
    from acsgreg_tf.io.files import atomic_path

    ending = Path(path).suffix[1:].lower()
    known = figure.canvas.get_supported_filetypes()
    if ending not in known:
        raise InputError(f"{path}: a figure cannot be written as {ending!r}; endings are {', '.join(sorted(known))}")
    with atomic_path(path) as temporary:
        figure.savefig(temporary)


class _View:
    """One plane of the volume: where it cuts, how it lies on the page, and in which mm."""

    def __init__(self, shape, spacing, plane, middle, region):
        self.name, self.axis, self.across = plane
        self.index = int(middle[self.axis])
        self.mm = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing)]
        self.limits = [
            (self.mm[a][region[0][a]] - spacing[a] / 2, self.mm[a][region[1][a]] + spacing[a] / 2) for a in self.across
        ]
        self.inside = tuple(slice(region[0][a], region[1][a] + 1) for a in reversed(self.across))
        self.width, self.height = (high - low for low, high in self.limits)
        edges = [(-shape[a] * spacing[a] / 2, shape[a] * spacing[a] / 2) for a in self.across]
        self.placed = {"extent": (*edges[0], *edges[1]), "origin": "lower"}

    def cut(self, volume):
        """The plane as rows and columns of a picture."""
        return np.swapaxes(np.take(volume, self.index, self.axis), 0, 1)

    def contour(self, ax, label, colour, linewidth):
        plane = self.cut(label)
        if plane.any():
            x, y = (self.mm[a] for a in self.across)
            ax.contour(x, y, plane, levels=[0.5], colors=[colour], linewidths=linewidth)

    def frame(self, ax, first, dark):
        """Limits, mm on the first panel of a row, directions on the border of each."""
        from matplotlib.patheffects import withStroke

        (h, v), ((left, right), (bottom, top)) = self.across, self.limits
        ax.set(xlim=(right, left), ylim=(bottom, top), aspect="equal")
        ax.tick_params(labelsize=6, length=2, labelbottom=first, labelleft=first)
        ax.locator_params(nbins=5, steps=[1, 2.5, 5, 10])
        if first:
            ax.set_xlabel(f"{_NAME[h]} (mm)", fontsize=7)
            at = f"{_NAME[self.axis]} = {self.mm[self.axis][self.index]:.3g} mm"
            ax.set_ylabel(f"{self.name}, {at}\n{_NAME[v]} (mm)", fontsize=7)
        ax.title.set_fontsize(8)
        front, behind = ("white", "black") if dark else ("black", "white")
        stroke = [withStroke(linewidth=2.5, foreground=behind)]
        style = {"transform": ax.transAxes, "fontsize": 6, "color": front, "path_effects": stroke}
        ax.text(0.02, 0.5, _HIGH[h], ha="left", va="center", **style)
        ax.text(0.98, 0.5, _LOW[h], ha="right", va="center", **style)
        ax.text(0.5, 0.98, _HIGH[v], ha="center", va="top", **style)
        ax.text(0.5, 0.02, _LOW[v], ha="center", va="bottom", **style)


def _check_labels(labels, shape):
    missing = {"fixed", "moving", "moved"} - set(labels)
    if missing:
        raise InputError(f"labels: no {', '.join(sorted(missing))} label, and the overlays need all three")
    labels = {name: np.asarray(labels[name]) for name in ("fixed", "moving", "moved")}
    for name, label in labels.items():
        if label.shape != shape:
            raise InputError(f"labels: {name} has shape {label.shape}, not the images' {shape}")
    return {name: label != 0 for name, label in labels.items()}


def _bounds(mask):
    """First and last index (two arrays of 3) of what is nonzero in a volume that is not empty."""
    inside = [np.flatnonzero(mask.any(axis=tuple(b for b in range(3) if b != a))) for a in range(3)]
    return np.array([i[0] for i in inside]), np.array([i[-1] for i in inside])


def _occupied(volumes, spacing):
    """First and last index of what is to be seen in any volume, with a margin; if nothing is, of it all."""
    seen = np.any([volume > volume.min() for volume in volumes], axis=0)
    last = np.subtract(seen.shape, 1)
    if not seen.any():
        return np.zeros(3, int), last
    low, high = _bounds(seen)
    margin = np.ceil(_MARGIN / spacing).astype(int)
    return np.maximum(low - margin, 0), np.minimum(high + margin, last)


def _window(images, views):
    """One grey window for all that is compared, from what is shown; a few outlying voxels may saturate."""
    shown = np.concatenate([view.cut(image)[view.inside].ravel() for image in images for view in views])
    shown = shown[np.isfinite(shown)]
    if not shown.size:
        raise InputError("images: no finite value in the planes to show")
    low, high = np.percentile(shown, (0.5, 99.5))
    return (low, high) if high > low else (low, low + 1)


def _draw_overlay(ax, view, images, labels, window, other):
    image = images["deformable" if other == "moved" else "moving"]
    if labels is not None:
        ax.imshow(view.cut(images["fixed"]), cmap="gray", vmin=window[0], vmax=window[1], **view.placed)
        view.contour(ax, labels["fixed"], _FIXED, 1.8)  # wider, to be seen under a contour that agrees
        view.contour(ax, labels[other], _MOVING, 0.8)
        return
    from matplotlib.colors import to_rgb

    both = sum(
        np.clip((view.cut(layer) - window[0]) / (window[1] - window[0]), 0, 1)[..., None] * to_rgb(colour)
        for layer, colour in ((images["fixed"], _FIXED), (image, _MOVING))
    )
    ax.imshow(np.clip(np.nan_to_num(both), 0, 1), **view.placed)


def _reach(mm):
    """The displacement in mm that gets the fullest colour."""
    return max(float(np.percentile(np.abs(mm), 99.9)), 1e-3)


def _draw_displacement(axes, views, displacement, spacing, reach=None):
    """phi as RGB and as a grid into the last two columns; returns the key to the colours."""
    from matplotlib.collections import LineCollection

    mm = displacement * spacing
    reach = _reach(mm) if reach is None else reach
    colours = np.clip(0.5 + mm / (2 * reach), 0, 1)
    folded = metrics.folds(displacement)
    determinant = metrics.jacobian_determinant(displacement)
    for view, (rgb, grid) in zip(views, axes):
        rgb.imshow(view.cut(colours), **view.placed)
        rgb.set_title("φ (RGB)")

        h, v = view.across
        x, y = np.meshgrid(view.mm[h], view.mm[v])
        mapped = np.stack([x, y], -1) + view.cut(mm)[..., (h, v)]
        step = max(1, round(max(np.divide((view.width, view.height), spacing[[h, v]])) / _GRID_LINES))
        lines = [*mapped[step // 2 :: step], *mapped.swapaxes(0, 1)[step // 2 :: step]]
        grid.add_collection(LineCollection(lines, colors="black", linewidths=0.45))
        last = min(view.index, determinant.shape[view.axis] - 1)
        bad = np.swapaxes(np.take(determinant, last, view.axis), 0, 1) <= 0
        grid.plot(*mapped[:-1, :-1][bad].T, ".", color="red", markersize=2)
        grid.set_title(f"φ (grid)\n{folded.percent:.2g} % folds")
    return f"φ (RGB): red x, green y, blue z, grey none, ±{reach:.1f} mm"
