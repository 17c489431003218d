"""Box plots of measures by level and method."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation.runner import Row
from acsgreg_tf.evaluation.tables import COMPARED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["box_figure"]


def box_figure(
    rows: Mapping[str, Sequence[Row]], measures: Sequence[str] = ("dice_deformable", "assd_mm_deformable")
) -> "Figure":
    """A plot a measure: at each level a box for each method, over its pairs without a fault.

    Boxes go from quartile to quartile with the median in them, whiskers to the farthest pair within 1.5 of their
    length; pairs beyond are dots.

    Args:
        rows: {method: rows} as `evaluation.evaluate` returns them.
        measures: Columns that `tables.COMPARED` names.

    Returns:
        matplotlib Figure; write it with `registration.drawing.save_figure`.

    Raises:
        InputError: No row without a fault.
    """
    good = {method: [row for row in part if not row["fault"]] for method, part in rows.items()}
    levels = sorted({row["level"] for part in good.values() for row in part})
    if not levels:
        raise InputError("rows: no pair without a fault to show")

    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(figsize=(4.6 * len(measures), 3.6), dpi=150, layout="constrained")
    colours = colormaps["tab10"].colors  # type: ignore[attr-defined]
    width = 0.8 / len(good)
    for ax, measure in zip(figure.subplots(1, len(measures), squeeze=False)[0], measures):
        for number, part in enumerate(good.values()):
            values = [[row[measure] for row in part if row["level"] == level] for level in levels]
            finite = [np.array(v)[np.isfinite(v)] for v in values]
            places = np.arange(len(levels)) + (number - (len(good) - 1) / 2) * width
            boxes = ax.boxplot(
                finite,
                positions=places,
                widths=0.8 * width,
                patch_artist=True,
                medianprops={"color": "black"},
                flierprops={"marker": ".", "markersize": 3},
            )
            for box in boxes["boxes"]:
                box.set_facecolor(colours[number % len(colours)])
        ax.set_xticks(range(len(levels)), [level or "all" for level in levels])
        ax.set_ylabel(COMPARED[measure][0].removesuffix(" Final"))
        ax.grid(axis="y", alpha=0.3)
    handles = [Patch(facecolor=colours[i % len(colours)], label=name) for i, name in enumerate(good)]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4), frameon=False, fontsize=8)
    return figure
