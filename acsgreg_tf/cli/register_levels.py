"""What register.py makes of several levels together: a table, and one label map with all of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from acsgreg_tf.io.images import Image, write_image
from acsgreg_tf.registration import Result

__all__ = ["MergedLabels", "levels_table"]

_COLUMNS = (
    ("Dice", ("dice", "deformable"), "10.3f"),
    ("ASSD (mm)", ("assd_mm", "deformable"), "11.3f"),
    ("LNCC", ("lncc", "deformable"), "8.3f"),
    ("folds", ("folds", "count"), "7d"),
    ("inverse, most (mm)", ("inverse_error_max_mm",), "20.2f"),
    ("s", ("seconds", "total"), "8.1f"),
)


class MergedLabels:
    """The moved labels of all levels in one map; where two overlap, the one that came first.

    Args:
        path: Where it is written, or None for nowhere.
    """

    def __init__(self, path: str | None) -> None:
        self.path = path
        self.merged: Image | None = None

    def add(self, result: Result) -> None:
        """Put one level in."""
        label = result.moved_seg
        if self.path is None or label is None:
            return
        if self.merged is None:
            self.merged = Image(np.zeros_like(label.data), label.grid, label.name)
        free = self.merged.data == 0
        self.merged.data[free] = label.data[free]

    def write(self) -> None:
        """Write the map, if there is one."""
        if self.path is not None and self.merged is not None:
            write_image(self.path, self.merged.data, self.merged.grid)


def levels_table(summaries: Mapping[str, Mapping[str, Any]]) -> str:
    """A line a level, for a terminal: how well each lies, and how many doubts there are.

    Args:
        summaries: {level: a Result's summary}.
    """
    shown = [column for column in _COLUMNS if all(column[1][0] in summary for summary in summaries.values())]
    heads = "".join(f"{name:>{int(form.split('.')[0].rstrip('df'))}}" for name, _, form in shown)
    lines = [f"{'':6}{heads}{'doubts':>9}"]
    for level, summary in summaries.items():
        numbers = "".join(format(_at(summary, keys), form) for _, keys, form in shown)
        lines.append(f"{level:6}{numbers}{len(summary['flags']) or '':>9}")
    return "\n".join(lines)


def _at(summary: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    value: Any = summary
    for key in keys:
        value = value[key]
    return value
