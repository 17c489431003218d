"""Lists of pairs to measure on."""

import csv
from pathlib import Path

from acsgreg_tf.cohort.pairs import ordered_pairs
from acsgreg_tf.cohort.split import read_split
from acsgreg_tf.errors import InputError


def read_pairs(path):
    """Rows of a pairs file: CSV with the columns fixed, fixed_seg, moving, moving_seg and optionally level and label.

    Relative paths start at the file's own folder. `label` is the vertebra's number in both label maps; without it, a map
    that holds several is asked for VerSe's number of `level`.

    Raises:
        InputError: the file cannot be read, lacks a column, or holds no pair; a label that is no number, or a field that is
            empty.
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a list of pairs ({error.__class__.__name__})") from error
    if not rows:
        raise InputError(f"{path}: holds no pair")
    wanted = ("fixed", "fixed_seg", "moving", "moving_seg")
    missing = [name for name in wanted if name not in rows[0]]
    if missing:
        raise InputError(f"{path}: lacks the column {', '.join(missing)}")
    pairs = []
    for number, row in enumerate(rows, start=2):
        row = {name: (row.get(name) or "").strip() for name in (*wanted, "level", "label")}
        empty = [name for name in wanted if not row[name]]
        if empty:
            raise InputError(f"{path}, line {number}: {empty[0]} is empty")
        if row["label"] and not row["label"].isdigit():
            raise InputError(f"{path}, line {number}: label must be a whole number, not {row['label']!r}")
        pairs.append(row | {name: str(path.parent / row[name]) for name in wanted})
    return pairs


def split_pairs(path, part="test", manifest=None):
    """As `read_pairs`, all ordered pairs of one part of a split file (`cohort.write_split`): 90 a level for ten people.

    Args:
        path: of the split.
        part: "train", "val" or "test".
        manifest: path of the cohort's manifest, if it is not where the split says.

    Raises:
        InputError: as `cohort.read_split`, or the part holds no pair.
    """
    pairs = ordered_pairs(getattr(read_split(path, manifest), part))
    if not pairs:
        raise InputError(f"{path}: holds no pair in its part {part}")
    return pair_rows(pairs)


def pair_rows(pairs):
    """(fixed, moving) `cohort.Sample`s as `read_pairs` gives pairs."""
    return [
        {
            "fixed": f.image,
            "fixed_seg": f.label,
            "moving": m.image,
            "moving_seg": m.label,
            "level": f.level,
            "label": "",
        }
        for f, m in pairs
    ]
