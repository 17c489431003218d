"""A small picture of one registration, for tables."""

import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from acsgreg_tf.registration import Result

__all__ = ["thumbnail"]

_INCHES, _DPI = 1.1, 100


def thumbnail(result: "Result") -> bytes:
    """The three planes of the fixed vertebra, with both outlines where there are labels; a PNG of some 20 KB."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from acsgreg_tf.registration.drawing import FIXED, MOVING, grey_window, plane_views

    fixed, spacing = result.fixed, result.fixed.grid.spacing
    mask = fixed.share > 0.5
    views = plane_views([mask.astype(np.float32)], mask, spacing)
    window = grey_window([fixed.image], views)
    figure = Figure(figsize=(len(views) * _INCHES, _INCHES), dpi=_DPI, facecolor="black")
    FigureCanvasAgg(figure)
    for ax, view in zip(figure.subplots(1, len(views)), views):
        view.show(ax, fixed.image, window)
        view.contour(ax, mask, FIXED, 1.4)
        if result.labels is not None:
            view.contour(ax, result.labels["deformable"], MOVING, 0.7)
        (left, right), (bottom, top) = view.limits
        ax.set(xlim=(right, left), ylim=(bottom, top), aspect="equal")
        ax.set_axis_off()
    figure.subplots_adjust(0, 0, 1, 1, 0.02, 0)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
