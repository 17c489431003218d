"""The tables of the studies as CSV files and Markdown, with the paper's numbers beside ours."""

import os
from collections.abc import Iterable
from typing import Any

from acsgreg_tf import evaluation
from acsgreg_tf.evaluation.runner import Row
from acsgreg_tf.evaluation.studies.paper import ORDER, PAPER_FOLDS
from acsgreg_tf.evaluation.tables import COMPARED, LevelSummary
from acsgreg_tf.io.tables import write_table

_NETWORKS = ("AVoxelMorph", "ACSGRegNet")
_OF_ABLATIONS = (
    "dice_affine",
    "dice_deformable",
    "assd_mm_deformable",
    "hd95_mm_deformable",
    "folds_percent",
    "folded_volume_percent",
)


def by_level(rows: Iterable[Row]) -> dict[str, LevelSummary]:
    """{level: summary} with "Average" over all pairs last, whatever the methods are called."""
    (levels,) = evaluation.summarise([row | {"method": ""} for row in rows]).values()
    return {"Average" if level == "all" else level: summary for level, summary in levels.items()}


def stage_table(path: str | os.PathLike, summary: dict[str, LevelSummary], paper: dict[str, tuple[float, ...]]) -> str:
    """Tables 1 to 3: writes the CSV, returns the Markdown.

    Args:
        path: Of the CSV.
        summary: As `by_level` returns it.
        paper: The paper's numbers by level, in the order of `paper.ORDER`.
    """
    names = {"dice": "Dice", "precision": "PREC", "recall": "REC", "assd_mm": "ASSD mm"}
    heads = [f"{names[m]} {evaluation.SHOWN[s]}" for m, s in ORDER]
    lines, table = [], []
    for level, numbers in summary.items():
        theirs = paper.get(level, (None,) * len(ORDER))
        row: dict[str, Any] = {"level": level, "pairs": numbers["pairs"]}
        cells = []
        for (m, s), reference in zip(ORDER, theirs, strict=True):
            number, column = numbers[f"{m}_{s}"], f"{m}_{s}"
            row |= {column: number["mean"], f"{column}_std": number["std"], f"{column}_paper": reference}
            cells.append(beside(evaluation.cell(number, 3), reference, 3))
        lines.append([level, str(numbers["pairs"]), *cells])
        table.append(row)
    write_table(path, list(table[0]), table)
    return evaluation.markdown(["", "pairs", *heads], lines)


def fold_table(
    path: str | os.PathLike, avoxelmorph: dict[str, LevelSummary], acsgregnet: dict[str, LevelSummary]
) -> str:
    """Table 4: writes the CSV, returns the Markdown; both summaries as `by_level` returns them."""
    # Measure: heading, digits of ours, digits of the paper's.
    measures = {"folds_count": ("folds", 0, 0), "folds_percent": ("folds %", 3, 1)}
    columns = [(m, n, s) for m in measures for n in _NETWORKS for s in ("mean", "std")]
    heads = [f"{measures[m][0]} {n} {'Mean' if s == 'mean' else 'Std.'}" for m, n, s in columns]
    lines, table = [], []
    for level in acsgregnet:
        numbers = dict(zip(_NETWORKS, (avoxelmorph[level], acsgregnet[level]), strict=True))
        theirs = PAPER_FOLDS.get(level, (None,) * len(columns))
        row: dict[str, Any] = {"level": level}
        cells = []
        for (m, n, s), reference in zip(columns, theirs, strict=True):
            number, (_, digits, paper_digits) = numbers[n][m][s], measures[m]
            row |= {f"{m}_{n}_{s}": number, f"{m}_{n}_{s}_paper": reference}
            cells.append(beside(f"{number:.{digits}f}", reference, paper_digits))
        lines.append([level, *cells])
        table.append(row)
    write_table(path, list(table[0]), table)
    return evaluation.markdown(["", *heads], lines)


def ablation_table(path: str | os.PathLike, networks: Iterable[tuple[str, int, LevelSummary]]) -> str:
    """ACSGRegNet whole and without its parts: writes the CSV, returns the Markdown.

    Args:
        path: Of the CSV.
        networks: (title, number of parameters, summary over all levels).
    """
    columns = {name: COMPARED[name] for name in _OF_ABLATIONS}
    lines, table = [], []
    for title, parameters, summary in networks:
        cells = [evaluation.cell(summary[name], digits) for name, (_, digits) in columns.items()]
        lines.append([title, f"{parameters:,}", *cells])
        row: dict[str, Any] = {"network": title, "parameters": parameters}
        for name in columns:
            row |= {name: summary[name]["mean"], f"{name}_std": summary[name]["std"]}
        table.append(row)
    write_table(path, list(table[0]), table)
    return evaluation.markdown(["", "parameters", *(head for head, _ in columns.values())], lines)


def beside(ours: str, theirs: float | None, digits: int) -> str:
    """Our number with the paper's in brackets, where it has one.

    >>> beside("0.931", 0.9, 3), beside("0.931", None, 3)
    ('0.931 (0.900)', '0.931')
    """
    return ours if theirs is None else f"{ours} ({theirs:.{digits}f})"
