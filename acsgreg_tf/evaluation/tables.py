"""Means by level, and tables of them in Markdown."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from acsgreg_tf.anatomy.parts import PARTS
from acsgreg_tf.evaluation.measures import ANATOMY, NUMBERS
from acsgreg_tf.registration import STAGES

# How tables call the stages, as the paper does.
SHOWN = {"before": "Initial", "affine": "Affine", "deformable": "Final"}

# {"pairs": number, "failed": number, measure: {"mean", "std", "worst"}}
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
    "written_folds_percent": ("written folds %", 4),
    "inverse_folds_percent": ("of the inverse %", 4),
    "folded_volume_percent": ("folded volume %", 4),
    "std_log_jacobian": ("std log J", 3),
    "inverse_error_mm": ("inverse error mm", 3),
    "inverse_error_max_mm": ("largest", 2),
    "seconds": ("seconds", 1),
    "seconds_cold": ("seconds cold", 1),
    "memory_mb": ("memory MB", 0),
}
# Of them, those that only `evaluation.isolated` measures: without it they have no columns.
COSTS = ("seconds_cold", "memory_mb")


# Of these a small number is a bad one.
_HIGH_IS_GOOD = ("dice", "precision", "recall")


def summarise(rows: Sequence[dict[str, Any]]) -> Summary:
    """Means and standard deviations of each method by level, over the rows without a fault.

    Returns:
        {method: {level: {"pairs": number, "failed": number, measure: {"mean", "std", "worst"}}}}; the last level,
        "all", holds all rows. A measure that a method does not have is NaN; those of parts and landmarks are over the
        pairs that have some. Standard deviations are those of a sample (divided by n - 1), NaN for a single pair.
        "worst" is the mean over the tenth of the pairs (one at least) that is worst by that measure.
    """
    summary: Summary = {}
    for method, table in pd.DataFrame(rows).groupby("method", sort=False):
        levels = {level: part for level, part in table.groupby("level") if level not in ("", "all")}
        summary[method] = {level: _summary(part) for level, part in {**levels, "all": table}.items()}
    return summary


def _summary(table: pd.DataFrame) -> LevelSummary:
    good = table.loc[table["fault"] == "", list(NUMBERS)].astype(float)
    measures = {}
    for name in NUMBERS:
        values = good[name].dropna() if name in ANATOMY else good[name]
        with np.errstate(invalid="ignore"):  # an infinite distance has no spread
            mean, std = values.mean(skipna=False), values.std(ddof=1, skipna=False)
        measures[name] = {"mean": float(mean), "std": float(std), "worst": _worst_tenth(name, values.to_numpy())}
    return {"pairs": len(good), "failed": len(table) - len(good), **measures}


def _worst_tenth(name: str, values: np.ndarray) -> float:
    if not len(values) or np.isnan(values).any():
        return float("nan")
    worst_first = np.sort(values) if name.startswith(_HIGH_IS_GOOD) else np.sort(values)[::-1]
    return float(worst_first[: max(len(values) // 10, 1)].mean())


def by_kind(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """{kind: rows}, in the order in which the kinds appear; rows without a kind stand under ""."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        kinds.setdefault(row.get("kind", ""), []).append(row)
    return kinds


def tables(summary: Summary) -> str:
    """The summary as Markdown: for each method the paper's Tables 1 to 4 in one, then several methods compared."""
    parts = [f"### {method}\n\n{method_table(levels)}" for method, levels in summary.items()]
    if len(summary) > 1:
        parts.append(f"### Methods, all pairs\n\n{comparison(summary)}")
    anatomy = anatomy_table(summary)
    if anatomy:
        parts.append(f"### Anatomy, the pairs with parts or landmarks\n\n{anatomy}")
    return "\n\n".join(parts)


def method_table(levels: dict[str, LevelSummary]) -> str:
    """One method by level, Markdown: the paper's measures at each stage, and folds."""
    measures = {"dice": "Dice", "precision": "PREC", "recall": "REC", "assd_mm": "ASSD mm"}
    columns = {f"{m}_{s}": (f"{name} {SHOWN[s]}", 3) for m, name in measures.items() for s in STAGES}
    columns |= {
        "hd95_mm_deformable": ("HD95 mm Final", 2),
        "folds_count": ("folds", 0),
        "folds_percent": ("folds %", 4),
    }
    return _table(levels, columns)


def anatomy_table(summary: Summary) -> str:
    """One line a method, Markdown: its parts (mean over parts, then part by part) and landmarks; "" without any."""
    columns: dict[str, tuple[str, int]] = {}
    for part in ("parts", *PARTS):
        name = "mean of parts" if part == "parts" else part.replace("_", " ")
        columns |= {f"dice_{part}": (f"{name}: Dice", 3), f"centre_mm_{part}": ("centre mm", 2)}
    columns["tre_mm_deformable"] = ("TRE mm", 2)
    lines = {method: levels["all"] for method, levels in summary.items()}
    known = [name for name in columns if any(np.isfinite(line[name]["mean"]) for line in lines.values())]
    present = {name: columns[name] for name in known}
    return _table(lines, present) if present else ""


def comparison(summary: Summary, level: str = "all") -> str:
    """One line a method, Markdown: accuracy, folds and seconds over the same pairs."""
    lines = {method: levels[level] for method, levels in summary.items() if level in levels}
    unknown = [name for name in COSTS if all(np.isnan(line[name]["mean"]) for line in lines.values())]
    return _table(lines, {name: column for name, column in COMPARED.items() if name not in unknown})


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
