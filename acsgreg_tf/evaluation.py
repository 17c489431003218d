"""A model on a list of pairs: each pair at Initial, Affine and Final (the paper's Tables 1 to 4), and means by level."""

import csv
import json
from pathlib import Path

import numpy as np

from acsgreg_tf import metrics
from acsgreg_tf.data.cohort import ordered_pairs, read_split
from acsgreg_tf.data.images import atomic_path
from acsgreg_tf.errors import InputError
from acsgreg_tf.registration import STAGES, load_model, register

MEASURES = ("dice", "precision", "recall", "assd_mm", "hd95_mm")
SHOWN = {"before": "Initial", "affine": "Affine", "deformable": "Final"}
COLUMNS = (
    "fixed", "moving", "level", *(f"{m}_{s}" for s in STAGES for m in MEASURES),
    "folds_count", "folds_percent", "folded_volume_percent", "std_log_jacobian", "inverse_error_mm", "seconds", "fault",
)  # fmt: skip


def read_pairs(path):
    """Rows of a pairs file: CSV with the columns fixed, fixed_seg, moving, moving_seg and optionally level and label.

    Relative paths start at the file's own folder.

    Raises:
        InputError: the file cannot be read, lacks a column, or holds no pair.
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a list of pairs ({error.__class__.__name__})") from error
    if not rows:
        raise InputError(f"{path}: holds no pair")
    wanted = ("fixed", "fixed_seg", "moving", "moving_seg")
    missing = [name for name in wanted if name not in rows[0]]
    if missing:
        raise InputError(f"{path}: lacks the column {', '.join(missing)}")
    return [
        {**{name: str(path.parent / row[name]) for name in wanted}, "level": row.get("level") or "",
         "label": row.get("label") or ""}
        for row in rows
    ]  # fmt: skip


def split_pairs(path, part="test"):
    """As `read_pairs`, all ordered pairs of one part of a split file (`cohort.write_split`): 90 a level for ten people.

    Raises:
        InputError: as `cohort.read_split`, or the part holds no pair.
    """
    pairs = ordered_pairs(getattr(read_split(path), part))
    if not pairs:
        raise InputError(f"{path}: holds no pair in its part {part}")
    return [
        {"fixed": f.image, "fixed_seg": f.label, "moving": m.image, "moving_seg": m.label, "level": f.level, "label": ""}
        for f, m in pairs
    ]


def measure(result):
    """The paper's measures of one Result, as a flat dict of the numeric COLUMNS.

    Labels were warped once, linearly, and cut at 0.5, on the fixed vertebra's 1 mm grid. Folds are counted by forward
    differences (the paper's convention), the folded volume as in Liu et al. 2024.
    """
    fixed, spacing = result.fixed.label, result.fixed.grid.spacing
    row = {}
    for stage in STAGES:
        moved = result.labels[stage]
        distances = metrics.surface_distances(fixed, moved, spacing=spacing)
        row |= {
            f"dice_{stage}": metrics.dice(fixed, moved),
            f"precision_{stage}": metrics.precision(fixed, moved),
            f"recall_{stage}": metrics.recall(fixed, moved),
            f"assd_mm_{stage}": float(np.mean(distances)),
            f"hd95_mm_{stage}": float(np.percentile(distances, 95)),
        }
    folds = metrics.folds(result.displacement)
    return row | {
        "folds_count": folds.count,
        "folds_percent": folds.percent,
        "folded_volume_percent": metrics.non_diffeomorphic_volume(result.displacement).percent,
        "std_log_jacobian": metrics.std_log_jacobian(result.displacement),
        "inverse_error_mm": result.summary["inverse_error_mm"],
        "seconds": result.summary["seconds"]["registering"],
    }


def evaluate(model, pairs, out, progress=None):
    """Register each pair and write `out` (CSV, a row a pair) as it goes; pairs that it already holds are kept.

    A pair that fails is a row with its reason in the column `fault`.

    Args:
        model: network or path.
        pairs: as `read_pairs` gives them.
        out: CSV path.
        progress: called with each finished row.

    Returns:
        The rows, in the order of the pairs.
    """
    network = load_model(model)
    kept = {(row["fixed"], row["moving"], row["level"]): row for row in _read_rows(out)}
    rows = []
    for pair in pairs:
        key = (pair["fixed"], pair["moving"], pair["level"])
        row = kept.get(key)
        if row is None or row["fault"]:
            row = _evaluate_one(network, pair)
        rows.append(row)
        _write_rows(out, rows + [other for k, other in kept.items() if k not in {_key(r) for r in rows}])
        if progress is not None:
            progress(row)
    return rows


def _key(row):
    return row["fixed"], row["moving"], row["level"]


def _evaluate_one(network, pair):
    row = {"fixed": pair["fixed"], "moving": pair["moving"], "level": pair["level"], "fault": ""}
    label = int(pair["label"]) if pair["label"] else None
    try:
        result = register(
            pair["fixed"], pair["moving"], model=network, fixed_seg=pair["fixed_seg"], moving_seg=pair["moving_seg"],
            label=label,
        )  # fmt: skip
        return row | measure(result)
    except InputError as error:
        return row | {"fault": str(error)}


def _read_rows(path):
    if not Path(path).exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if rows and set(COLUMNS) - set(rows[0]):
        raise InputError(f"{path}: is not a table of this command; choose another name")
    return rows


def _write_rows(path, rows):
    with atomic_path(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)


def summarise(rows):
    """{level: {column: (mean, standard deviation)}} over the rows without a fault, and "all"."""
    good = [row for row in rows if not row["fault"]]
    numeric = [name for name in COLUMNS if name not in ("fixed", "moving", "level", "fault")]
    groups = {"all": good} | {level: [r for r in good if r["level"] == level] for level in {r["level"] for r in good}}
    return {
        level: {"pairs": len(members)}
        | {name: _mean_and_spread([float(row[name]) for row in members]) for name in numeric}
        for level, members in groups.items()
        if members and level
    }


def _mean_and_spread(values):
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def table(summary):
    """The summary as Markdown, in the layout of the paper's Tables 1 to 3, with folds as in Table 4."""
    measures = {"dice": "Dice", "precision": "PREC", "recall": "REC", "assd_mm": "ASSD mm"}
    heads = [f"{shown} {SHOWN[stage]}" for shown in measures.values() for stage in STAGES]
    lines = ["| | pairs | " + " | ".join(heads) + " | folds % |", "|---|" + "---|" * (len(heads) + 2)]
    for level in sorted(summary, key=lambda name: (name == "all", name)):
        found = summary[level]
        cells = [f"{found[f'{m}_{stage}'][0]:.3f}" for m in measures for stage in STAGES]
        lines.append(f"| {level} | {found['pairs']} | " + " | ".join(cells) + f" | {found['folds_percent'][0]:.4f} |")
    return "\n".join(lines)


def write_summary(path, summary):
    """The summary as JSON."""
    with atomic_path(path) as partial:
        Path(partial).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
