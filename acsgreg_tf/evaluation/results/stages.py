"""Tables that tell apart what did what: affines, the network alone, the default, a whole refinement."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from acsgreg_tf.anatomy.levels import LUMBAR
from acsgreg_tf.evaluation.results.run import DEFAULT, NETWORK_ALONE, REFINED
from acsgreg_tf.evaluation.runner import Row
from acsgreg_tf.evaluation.tables import LevelSummary, cell, markdown, summarise

__all__ = ["STAGE_ROWS", "good_rows", "same_pairs", "stage_table", "regularity_table"]

# What a line shows: heading, the method whose rows it is taken from, and the stage in them.
STAGE_ROWS = (
    ("centres laid on each other", DEFAULT, "before"),
    ("AffineNet's own affine", DEFAULT, "network_affine"),
    ("affine fitted to the surfaces", DEFAULT, "affine"),
    (NETWORK_ALONE, NETWORK_ALONE, "deformable"),
    (DEFAULT, DEFAULT, "deformable"),
    (REFINED, REFINED, "deformable"),
)


def good_rows(rows: Sequence[Row], method: str, kind: str | None = None) -> list[Row]:
    """The rows of one method, and of one kind of pair if it is named, without those that failed."""
    return [row for row in rows if row["method"] == method and not row["fault"] and kind in (None, row["kind"])]


def same_pairs(rows: Sequence[Row], others: Sequence[Row]) -> list[Row]:
    """The rows whose pairs `others` have, too."""
    there = {(row["fixed"], row["moving"], row["level"]) for row in others}
    return [row for row in rows if (row["fixed"], row["moving"], row["level"]) in there]


def stage_table(rows: Sequence[Row], kind: str) -> str:
    """Dice / ASSD mm of each stage by level, over all, and of the worst tenth; Markdown.

    Args:
        rows: Of the test set, by the methods of `Plan.networks`.
        kind: Whose pairs: "real" or "simulated".
    """
    lines, default = [], good_rows(rows, DEFAULT, kind)
    for heading, method, stage in STAGE_ROWS:
        chosen = good_rows(rows, method, kind)
        if not chosen:
            continue
        if method == REFINED and len(chosen) < len(default):
            lines.append(_stage_line(f"{DEFAULT}, on the pairs that are refined", same_pairs(default, chosen), stage))
        lines.append(_stage_line(heading, chosen, stage))
    return markdown(["Dice / ASSD mm (pairs)", *LUMBAR, "all", "worst tenth"], lines)


def _stage_line(heading: str, rows: Sequence[Row], stage: str) -> list[str]:
    (levels,) = summarise(rows).values()
    every = levels["all"]
    cells = [_both(levels.get(level), stage) for level in LUMBAR]
    spread = " / ".join(cell(every[f"{name}_{stage}"], 3) for name in ("dice", "assd_mm"))
    return [f"{heading} ({every['pairs']})", *cells, spread, _both(every, stage, "worst")]


def _both(level: LevelSummary | None, stage: str, what: str = "mean") -> str:
    if level is None:
        return "–"
    return " / ".join(_number(level[f"{name}_{stage}"][what], 3) for name in ("dice", "assd_mm"))


def _number(value: float, digits: int) -> str:
    return "–" if np.isnan(value) else f"{value:.{digits}f}"


def regularity_table(rows: Sequence[Row], kind: str) -> str:
    """Folds, smoothness, the inverse's error and seconds of the three methods; Markdown."""
    columns = {
        "network_folds_percent": ("network's own folds %", 4),
        "folds_percent": ("folds %", 4),
        "written_folds_percent": ("written folds %", 4),
        "inverse_folds_percent": ("of the inverse %", 4),
        "std_log_jacobian": ("std log J", 3),
        "inverse_error_mm": ("inverse error mm", 3),
        "inverse_error_max_mm": ("largest", 2),
        "seconds": ("seconds", 1),
    }
    lines = []
    for method in (NETWORK_ALONE, DEFAULT, REFINED):
        chosen = good_rows(rows, method, kind)
        if chosen:
            every: dict[str, Any] = summarise(chosen)[method]["all"]
            lines.append([f"{method} ({every['pairs']})", *(cell(every[n], d) for n, (_, d) in columns.items())])
    return markdown(["(pairs)", *(heading for heading, _ in columns.values())], lines)
