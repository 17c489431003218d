"""Means by level, and tables of them in Markdown."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from acsgreg_tf.evaluation.measures import NUMBERS
from acsgreg_tf.registration import STAGES

# How tables call the stages, as the paper does.
SHOWN = {"before": "Initial", "affine": "Affine", "deformable": "Final"}

# {"pairs": number, "failed": number, measure: {"mean", "std"}}
LevelSummary = dict[str, Any]
# {method: {level: LevelSummary}}
Summary = dict[str, dict[str, LevelSummary]]

# Measures that compare methods: heading and digits.
COMPARED = {
    "dice_before": ("Dice Initial", 3),
    "dice_affine": ("Dice Affine", 3),
    "dice_deformable": ("Dice Final", 3),
    "assd_mm_deformable": ("ASSD mm Final", 3),
    "hd95_mm_deformable": ("HD95 mm Final", 2),
    "folds_percent": ("folds %", 4),
    "folded_volume_percent": ("folded volume %", 4),
    "std_log_jacobian": ("std log J", 3),
    "inverse_error_mm": ("inverse error mm", 3),
    "seconds": ("seconds", 1),
}


def summarise(rows: Sequence[dict[str, Any]]) -> Summary:
    """Means and standard deviations of each method by level, over the rows without a fault.

    Returns:
        {method: {level: {"pairs": number, "failed": number, measure: {"mean", "std"}}}}; the last level, "all", holds
        all rows. A measure that a method does not have is NaN. Standard deviations are those of a sample (divided by
        n - 1), NaN for a single pair.
    """
    summary: Summary = {}
    for method, table in pd.DataFrame(rows).groupby("method", sort=False):
        levels = {level: part for level, part in table.groupby("level") if level not in ("", "all")}
        summary[method] = {level: _summary(part) for level, part in {**levels, "all": table}.items()}
    return summary


def _summary(table: pd.DataFrame) -> LevelSummary:
    good = table.loc[table["fault"] == "", list(NUMBERS)].astype(float)
    with np.errstate(invalid="ignore"):  # an infinite distance has no spread
        mean, std = good.mean(skipna=False), good.std(ddof=1, skipna=False)
    measures = {name: {"mean": float(mean[name]), "std": float(std[name])} for name in NUMBERS}
    return {"pairs": len(good), "failed": len(table) - len(good), **measures}


def tables(summary: Summary) -> str:
    """The summary as Markdown: for each method the paper's Tables 1 to 4 in one, then several methods compared."""
    parts = [f"### {method}\n\n{_method_table(levels)}" for method, levels in summary.items()]
    if len(summary) > 1:
        parts.append(f"### Methods, all pairs\n\n{comparison(summary)}")
    return "\n\n".join(parts)


def _method_table(levels: dict[str, LevelSummary]) -> str:
    measures = {"dice": "Dice", "precision": "PREC", "recall": "REC", "assd_mm": "ASSD mm"}
    columns = {f"{m}_{s}": (f"{name} {SHOWN[s]}", 3) for m, name in measures.items() for s in STAGES}
    columns |= {
        "hd95_mm_deformable": ("HD95 mm Final", 2),
        "folds_count": ("folds", 0),
        "folds_percent": ("folds %", 4),
    }
    return _table(levels, columns)


def comparison(summary: Summary, level: str = "all") -> str:
    """One line a method, Markdown: accuracy, folds and seconds over the same pairs."""
    return _table({method: levels[level] for method, levels in summary.items() if level in levels}, COMPARED)


def _table(lines: dict[str, LevelSummary], columns: dict[str, tuple[str, int]]) -> str:
    """Markdown with a line for each entry; `columns` are {measure: (heading, digits)}."""
    heads = ["", "pairs", *(head for head, _ in columns.values())]
    cells = []
    for title, level in lines.items():
        failed = f" ({level['failed']} failed)" if level["failed"] else ""
        numbers = (cell(level[name], digits) for name, (_, digits) in columns.items())
        cells.append([title, f"{level['pairs']}{failed}", *numbers])
    return markdown(heads, cells)


def cell(number: dict[str, float], digits: int) -> str:
    """{"mean", "std"} as "mean ± std", without what is not known."""
    mean, std = number["mean"], number["std"]
    if np.isnan(mean):
        return "–"
    return f"{mean:.{digits}f}" + (f" ± {std:.{digits}f}" if np.isfinite(std) else "")


def markdown(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table of cells that are text already.

    >>> print(markdown(["", "Dice"], [["L1", "0.9"]]))
    |  | Dice |
    | --- | --- |
    | L1 | 0.9 |
    """
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
