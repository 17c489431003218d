"""Parts of figures of volumes: planes as a radiologist sees them, one grey window, displacements, writing to a file.

matplotlib is imported when a figure is drawn, and its pyplot state and chosen backend are left alone.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from acsgreg_tf import metrics
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

PANEL = 1.9  # inches, the width of one picture
FIXED, MOVING = "#00d5ff", "#ff4a1c"  # near complementary: where both are, the blend is grey or white

# Name, axis that is cut, (horizontal, vertical) axes; horizontal axes run from right to left on the page, so that the
# patient's right and front are on its left.
_PLANES = (("transversal", 2, (0, 1)), ("sagittal", 0, (1, 2)), ("coronal", 1, (0, 2)))
_LOW, _HIGH, _NAME = "LPI", "RAS", "xyz"
_GRID_LINES = 32
_MARGIN = 6.0  # mm of surroundings shown


class PlaneView:
    """One plane of a volume: where it cuts, how it lies on the page, and in which mm.

    Args:
        shape: (X, Y, Z) of the volume.
        spacing: Size of a voxel in mm, (3,).
        plane: One of the planes: name, axis that is cut, (horizontal, vertical) axes.
        middle: The voxel (3,) through which it goes.
        region: First and last voxel shown, two arrays (3,).
    """

    def __init__(
        self,
        shape: Sequence[int],
        spacing: np.ndarray,
        plane: tuple[str, int, tuple[int, int]],
        middle: np.ndarray,
        region: tuple[np.ndarray, np.ndarray],
    ) -> None:
        self.name, self.axis, self.across = plane
        self.index = int(middle[self.axis])
        self.mm = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing)]
        self.limits = [
            (self.mm[a][region[0][a]] - spacing[a] / 2, self.mm[a][region[1][a]] + spacing[a] / 2) for a in self.across
        ]
        self.inside = tuple(slice(region[0][a], region[1][a] + 1) for a in reversed(self.across))
        self.width, self.height = (high - low for low, high in self.limits)
        edges = [(-shape[a] * spacing[a] / 2, shape[a] * spacing[a] / 2) for a in self.across]
        self.placed: dict[str, Any] = {"extent": (*edges[0], *edges[1]), "origin": "lower"}

    def cut(self, volume: np.ndarray) -> np.ndarray:
        """The plane of a volume (X, Y, Z, ...), as rows and columns of a picture."""
        return np.swapaxes(np.take(volume, self.index, self.axis), 0, 1)

    def show(self, ax: "Axes", volume: np.ndarray, window: tuple[float, float]) -> None:
        """Draw an image in grey, black where it has no finite value."""
        ax.imshow(self.cut(volume), cmap="gray", vmin=window[0], vmax=window[1], **self.placed)
        ax.set_facecolor("black")

    def contour(self, ax: "Axes", label: np.ndarray, colour: str, linewidth: float) -> None:
        """Draw a label's outline."""
        plane = self.cut(label)
        if plane.any():
            x, y = (self.mm[a] for a in self.across)
            ax.contour(x, y, plane, levels=[0.5], colors=[colour], linewidths=linewidth)

    def frame(self, ax: "Axes", first: bool, dark: bool) -> None:
        """Draw limits, mm on the first panel of a row, directions on the border of each."""
        from matplotlib.patheffects import withStroke

        (h, v), ((left, right), (bottom, top)) = self.across, self.limits
        ax.set(xlim=(right, left), ylim=(bottom, top), aspect="equal")
        if not first:
            ax.set(xticks=[], yticks=[])
        else:
            ax.tick_params(labelsize=6, length=2)
            ax.locator_params(nbins=5, steps=[1, 2.5, 5, 10])
            ax.set_xlabel(f"{_NAME[h]} (mm)", fontsize=7)
            at = f"{_NAME[self.axis]} = {self.mm[self.axis][self.index]:.3g} mm"
            ax.set_ylabel(f"{self.name}, {at}\n{_NAME[v]} (mm)", fontsize=7)
        ax.title.set_fontsize(8)
        front, behind = ("white", "black") if dark else ("black", "white")
        stroke = [withStroke(linewidth=2.5, foreground=behind)]
        style: dict[str, Any] = {"transform": ax.transAxes, "fontsize": 6, "color": front, "path_effects": stroke}
        ax.text(0.02, 0.5, _HIGH[h], ha="left", va="center", **style)
        ax.text(0.98, 0.5, _LOW[h], ha="right", va="center", **style)
        ax.text(0.5, 0.98, _HIGH[v], ha="center", va="top", **style)
        ax.text(0.5, 0.02, _LOW[v], ha="center", va="bottom", **style)


def plane_views(
    volumes: Sequence[np.ndarray], label: np.ndarray | None, spacing: np.ndarray, coronal: bool = True
) -> list[PlaneView]:
    """The transversal, the sagittal and the coronal view of some volumes (X, Y, Z).

    Args:
        volumes: What has to be seen whole, with a margin; where all are constant, everything is shown.
        label: Through its centre of mass the planes go; without one, or with an empty one, through the volume's middle.
        spacing: Size of a voxel in mm, (3,).
        coronal: False leaves that view out.
    """
    shape = volumes[0].shape
    middle = np.add(shape, -1) // 2
    if label is not None and label.any():
        middle = np.rint(np.mean(np.nonzero(label), axis=1)).astype(int)
    region = _occupied(volumes, spacing)
    return [PlaneView(shape, spacing, plane, middle, region) for plane in _PLANES[: 2 + coronal]]


def _occupied(volumes: Iterable[np.ndarray], spacing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last index of what is above any volume's least value, with a margin; if nothing is, of it all."""
    seen = np.any([volume > volume.min() for volume in volumes], axis=0)
    last = np.subtract(seen.shape, 1)
    if not seen.any():
        return np.zeros(3, int), last
    inside = [np.flatnonzero(seen.any(axis=tuple(b for b in range(3) if b != a))) for a in range(3)]
    margin = np.ceil(_MARGIN / spacing).astype(int)
    low, high = (np.array([i[end] for i in inside]) for end in (0, -1))
    return np.maximum(low - margin, 0), np.minimum(high + margin, last)


def grey_window(images: Iterable[np.ndarray], views: Sequence[PlaneView]) -> tuple[float, float]:
    """One grey window for all images that are compared, from what is shown; a few outlying voxels may saturate.

    Raises:
        InputError: No finite value is shown.
    """
    shown = np.concatenate([view.cut(image)[view.inside].ravel() for image in images for view in views])
    shown = shown[np.isfinite(shown)]
    if not shown.size:
        raise InputError("images: no finite value in the planes to show")
    low, high = np.percentile(shown, (0.5, 99.5))
    return (low, high) if high > low else (low, low + 1)


def colour_range(displacement: np.ndarray, spacing: np.ndarray) -> float:
    """The displacement in mm that gets the fullest colour, from a displacement (X, Y, Z, 3) in voxels."""
    return max(float(np.percentile(np.abs(displacement * spacing), 99.9)), 1e-3)


def length_range(displacement: np.ndarray, spacing: np.ndarray) -> float:
    """The length in mm that gets the fullest colour, from a displacement (X, Y, Z, 3) in voxels."""
    return max(float(np.percentile(np.linalg.norm(displacement * spacing, axis=-1), 99.9)), 1e-3)


def draw_colours(
    axes: Iterable["Axes"], views: Sequence[PlaneView], displacement: np.ndarray, spacing: np.ndarray, reach: float
) -> str:
    """Draw a displacement (X, Y, Z, 3) in voxels as colours, as the paper's Figure 6 does.

    Args:
        axes: One a view.
        views: The planes.
        displacement: In voxels, pull.
        spacing: Size of a voxel in mm, (3,).
        reach: The fullest colour, in mm.

    Returns:
        The key to the colours, in words.
    """
    colours = np.clip(0.5 + displacement * spacing / (2 * reach), 0, 1)
    for view, ax in zip(views, axes):
        ax.imshow(view.cut(colours), **view.placed)
        ax.set_title("φ in colours\nx red, y green, z blue")
    return f"φ in colours: red x, green y, blue z, grey none, ±{reach:.1f} mm"


def draw_length(
    axes: Iterable["Axes"], views: Sequence[PlaneView], displacement: np.ndarray, spacing: np.ndarray, reach: float
) -> "ScalarMappable":
    """Draw how far a displacement (X, Y, Z, 3) in voxels goes, in mm; arguments as `draw_colours`.

    Returns:
        What a colour bar needs.
    """
    length = np.linalg.norm(displacement * spacing, axis=-1)
    for view, ax in zip(views, axes):
        image = ax.imshow(view.cut(length), cmap="viridis", vmin=0, vmax=reach, **view.placed)
        ax.set_title("displacement\nlength")
    return image


def draw_grid(
    axes: Iterable["Axes"], views: Sequence[PlaneView], displacement: np.ndarray, spacing: np.ndarray
) -> None:
    """Draw a displacement as a grid of points x + u(x), with red dots at folds (forward differences).

    Args:
        axes: One a view.
        views: The planes.
        displacement: (X, Y, Z, 3), voxels, pull.
        spacing: Size of a voxel in mm, (3,).
    """
    from matplotlib.collections import LineCollection

    mm = displacement * spacing
    folded = metrics.folds(displacement)
    determinant = metrics.jacobian_determinant(displacement)
    for view, ax in zip(views, axes):
        h, v = view.across
        x, y = np.meshgrid(view.mm[h], view.mm[v])
        mapped = np.stack([x, y], -1) + view.cut(mm)[..., (h, v)]
        step = max(1, round(max(np.divide((view.width, view.height), spacing[[h, v]])) / _GRID_LINES))
        lines = [*mapped[step // 2 :: step], *mapped.swapaxes(0, 1)[step // 2 :: step]]
        ax.add_collection(LineCollection(lines, colors="black", linewidths=0.45))
        last = min(view.index, determinant.shape[view.axis] - 1)
        bad = np.swapaxes(np.take(determinant, last, view.axis), 0, 1) <= 0
        ax.plot(*mapped[:-1, :-1][bad].T, ".", color="red", markersize=2)
        ax.set_title(f"φ as a grid\n{folded.percent:.2g} % folds")


def save_figure(figure: "Figure", path: str | os.PathLike) -> None:
    """Write a matplotlib Figure; the path's ending decides the format (.png, .pdf, .svg).

    Raises:
        InputError: An unknown ending, or a place that cannot be written. No half-written file is left.
    """
    ending = Path(path).suffix[1:].lower()
    known = figure.canvas.get_supported_filetypes()
    if ending not in known:
        raise InputError(f"{path}: a figure cannot be written as {ending!r}; endings are {', '.join(sorted(known))}")
    with atomic_path(path) as temporary:
        # Half the time, a tenth more bytes; other formats know no such option.
        options: dict[str, Any] = {"pil_kwargs": {"compress_level": 3}} if ending == "png" else {}
        figure.savefig(temporary, **options)
