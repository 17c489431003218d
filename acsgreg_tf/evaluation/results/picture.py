"""The picture of the results: Dice and surface distance of every pair, by level and stage."""

import os
from collections.abc import Sequence

import numpy as np

from acsgreg_tf.anatomy.levels import LUMBAR
from acsgreg_tf.evaluation.results.run import DEFAULT, REFINED
from acsgreg_tf.evaluation.results.stages import good_rows
from acsgreg_tf.evaluation.runner import Row
from acsgreg_tf.io.files import atomic_path

__all__ = ["save_results_picture"]

_LINES = (
    ("affine fitted", DEFAULT, "affine", "#999999"),
    (DEFAULT, DEFAULT, "deformable", "#1f77b4"),
    (REFINED, REFINED, "deformable", "#d95f02"),
)


def save_results_picture(rows: Sequence[Row], path: str | os.PathLike) -> None:
    """Draw every pair as a dot, real ones filled, and each stage's mean as a bar; whole or not at all.

    Args:
        rows: Of the test set.
        path: A .png.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(9, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    rng = np.random.default_rng(0)
    for axes, (name, heading) in zip(figure.subplots(1, 2), (("dice", "Dice"), ("assd_mm", "ASSD, mm")), strict=True):
        for number, (_, method, stage, colour) in enumerate(_LINES):
            for place, level in enumerate(LUMBAR):
                for kind, fill in (("simulated", "none"), ("real", colour)):
                    values = [row[f"{name}_{stage}"] for row in good_rows(rows, method, kind) if row["level"] == level]
                    x = place + (number - 1) * 0.27 + rng.uniform(-0.08, 0.08, len(values))
                    axes.scatter(x, values, s=14, facecolors=fill, edgecolors=colour, linewidths=0.7)
                every = [row[f"{name}_{stage}"] for row in good_rows(rows, method) if row["level"] == level]
                if every:
                    ends = place + (number - 1) * 0.27 + np.array([-0.12, 0.12])
                    axes.plot(ends, [np.mean(every)] * 2, color="black", linewidth=1.4)
        axes.set_xticks(range(len(LUMBAR)), LUMBAR)
        axes.set_ylabel(heading)
        axes.grid(axis="y", linewidth=0.3)
    figure.axes[1].set_yscale("log")
    figure.axes[1].yaxis.set_minor_formatter(NullFormatter())
    figure.axes[1].set_yticks((0.1, 0.2, 0.5, 1, 2, 4), ("0.1", "0.2", "0.5", "1", "2", "4"))
    _legend(figure)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _legend(figure: "object") -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="", marker="o", color=colour, label=heading) for heading, _, _, colour in _LINES
    ]
    for fill, label in (("black", "two real CTs"), ("none", "simulated")):
        handles.append(
            Line2D([], [], linestyle="", marker="o", markeredgecolor="black", markerfacecolor=fill, label=label)
        )
    handles.append(Line2D([], [], color="black", label="mean"))
    figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False)  # type: ignore[attr-defined]
