"""Means by level, and tables of them in Markdown."""

import numpy as np

from acsgreg_tf.evaluation.measures import NUMBERS
from acsgreg_tf.registration import STAGES

SHOWN = {"before": "Initial", "affine": "Affine", "deformable": "Final"}


def summarise(rows):
    """Means and standard deviations of each method by level.

    Returns:
        {method: {level: {"pairs": number, "failed": number, column: {"mean", "std"}}}} over the rows without a fault; the
        level "all" holds all rows. A measure that a method does not have is NaN. Standard deviations are those of a sample
        (divided by n - 1), NaN for a single pair.
    """
    methods = {}
    for row in rows:
        levels = methods.setdefault(row["method"], {})
        for level in filter(None, dict.fromkeys((row["level"], "all"))):
            levels.setdefault(level, []).append(row)
    return {
        method: {level: _summary(levels[level]) for level in sorted(levels, key=lambda name: (name == "all", name))}
        for method, levels in methods.items()
    }


def _summary(rows):
    good = [row for row in rows if not row["fault"]]
    found = {"pairs": len(good), "failed": len(rows) - len(good)}
    for name in NUMBERS:
        values = np.array([row[name] for row in good], float)
        with np.errstate(invalid="ignore"):  # an infinite distance has no spread
            std = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        found[name] = {"mean": float(values.mean()) if len(values) else float("nan"), "std": std}
    return found


def tables(summary):
    """The summary as Markdown: for each method the paper's Tables 1 to 4 in one, and if there are several, them compared."""
    parts = [f"### {method}\n\n{_method_table(levels)}" for method, levels in summary.items()]
    if len(summary) > 1:
        parts.append(f"### Methods, all pairs\n\n{comparison(summary)}")
    return "\n\n".join(parts)


def _method_table(levels):
    shown = {"dice": ("Dice", 3), "precision": ("PREC", 3), "recall": ("REC", 3), "assd_mm": ("ASSD mm", 3)}
    heads = [f"{name} {SHOWN[stage]}" for name, _ in shown.values() for stage in STAGES]
    heads = ["", "pairs", *heads, "HD95 mm Final", "folds", "folds %"]
    columns = [(f"{m}_{stage}", digits) for m, (_, digits) in shown.items() for stage in STAGES]
    columns += [("hd95_mm_deformable", 2), ("folds_count", 0), ("folds_percent", 4)]
    lines = []
    for level, found in levels.items():
        failed = f" ({found['failed']} failed)" if found["failed"] else ""
        lines.append([level, f"{found['pairs']}{failed}", *(cell(found[name], digits) for name, digits in columns)])
    return markdown(heads, lines)


def comparison(summary, level="all"):
    """One line a method, Markdown: accuracy, folds and seconds over the same pairs."""
    heads = [
        "",
        "pairs",
        "Dice Initial",
        "Dice Affine",
        "Dice Final",
        "ASSD mm Final",
        "HD95 mm Final",
        "folds %",
        "folded volume %",
        "std log J",
        "inverse error mm",
        "seconds",
    ]
    columns = [
        ("dice_before", 3),
        ("dice_affine", 3),
        ("dice_deformable", 3),
        ("assd_mm_deformable", 3),
        ("hd95_mm_deformable", 2),
        ("folds_percent", 4),
        ("folded_volume_percent", 4),
        ("std_log_jacobian", 3),
        ("inverse_error_mm", 3),
        ("seconds", 1),
    ]
    lines = []
    for method, levels in summary.items():
        if level in levels:
            found = levels[level]
            failed = f" ({found['failed']} failed)" if found["failed"] else ""
            lines.append(
                [method, f"{found['pairs']}{failed}", *(cell(found[name], digits) for name, digits in columns)]
            )
    return markdown(heads, lines)


def cell(found, digits):
    """{"mean", "std"} as "mean ± std", without what is not known."""
    mean, std = found["mean"], found["std"]
    if np.isnan(mean):
        return "–"
    return f"{mean:.{digits}f}" + (f" ± {std:.{digits}f}" if np.isfinite(std) else "")


def markdown(heads, lines):
    """A Markdown table of ready cells."""
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
