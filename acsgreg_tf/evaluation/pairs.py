"""Lists of pairs to measure on, and the two label maps of a pair."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from acsgreg_tf.anatomy.levels import TABLES
from acsgreg_tf.anatomy.vertebra import pick_label
from acsgreg_tf.cohort.manifest import Sample
from acsgreg_tf.cohort.pairs import ordered_pairs
from acsgreg_tf.cohort.split import read_split
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.images import Image, as_label
from acsgreg_tf.io.tables import is_label_number, read_table

_FILES = ("fixed", "fixed_seg", "moving", "moving_seg")
_LUMBAR = {level: number for level, number in TABLES["verse"].items() if level.startswith("L")}

_ANATOMY = ("fixed_parts", "moving_parts", "fixed_points", "moving_points")

# A row of a list of pairs: the paths fixed, fixed_seg, moving, moving_seg; level and label, which may be ""; where the
# list has them, kind and the paths fixed_parts, moving_parts, fixed_points, moving_points.
Pair = dict[str, str]


def read_pairs(path: str | os.PathLike) -> list[Pair]:
    """Read a pairs file: CSV with the columns fixed, fixed_seg, moving, moving_seg; optionally level, label, kind, maps
    of parts (fixed_parts, moving_parts) and landmarks (fixed_points, moving_points).

    Relative paths start at the file's own folder. `label` is the vertebra's number in both label maps; without it, a
    map that holds several is asked for VerSe's number of `level`. `kind` is a word that tables are parted by.

    Raises:
        InputError: The file cannot be read, lacks a column, holds no pair, a label that is no number, or an empty
            field.
    """
    rows = read_table(path, _FILES, "a list of pairs")
    if not rows:
        raise InputError(f"{path}: holds no pair")
    pairs = []
    for where, cells in rows:
        pair = {name: cells.get(name, "") for name in (*_FILES, "level", "label")}
        empty = [name for name in _FILES if not pair[name]]
        if empty:
            raise InputError(f"{where}: {empty[0]} is empty")
        if pair["label"] and not is_label_number(pair["label"]):
            raise InputError(f"{where}: label must be a whole number, not {pair['label']!r}")
        pair |= {name: cells[name] for name in (*_ANATOMY, "kind") if cells.get(name)}
        paths = {name: str(Path(path).parent / pair[name]) for name in (*_FILES, *_ANATOMY) if name in pair}
        pairs.append(pair | paths)
    return pairs


def split_pairs(path: str | os.PathLike, part: str = "test", manifest: str | os.PathLike | None = None) -> list[Pair]:
    """All ordered pairs of one part of a split file (`cohort.split.write_split`): 90 a level for ten people.

    Args:
        path: The split.
        part: "train", "val" or "test".
        manifest: The cohort's manifest, if it is not where the split says.

    Raises:
        InputError: As `cohort.split.read_split`, or the part holds no pair.
    """
    pairs = ordered_pairs(getattr(read_split(path, manifest), part))
    if not pairs:
        raise InputError(f"{path}: holds no pair in its part {part}")
    return pair_rows(pairs)


def pair_rows(pairs: Iterable[tuple[Sample, Sample]]) -> list[Pair]:
    """Samples (fixed, moving) as rows of a list of pairs."""
    return [
        dict(zip((*_FILES, "level", "label"), (f.image, f.label, m.image, m.label, f.level, ""), strict=True))
        for f, m in pairs
    ]


def pair_labels(pair: Pair) -> tuple[Image, Image]:
    """The fixed and the moving label map with the pair's vertebra alone.

    Its number is the pair's `label`, in the moving map its `moving_label` where there is one. Without these it is, in a
    map that holds several vertebrae, that of its level in VerSe's table, as in a whole scan. In a map with one vertebra
    only, such as a crop's, it may have any number but another lumbar level's.

    Raises:
        InputError: A map cannot be read, or does not hold the vertebra.
    """
    fixed = _one_label(as_label(pair["fixed_seg"]), pair, pair["label"])
    return fixed, _one_label(as_label(pair["moving_seg"]), pair, pair.get("moving_label") or pair["label"])


def _one_label(seg: Image, pair: Pair, label: str) -> Image:
    if label:
        number = pick_label(seg, int(label))
    elif pair["level"] in _LUMBAR:
        present = np.unique(seg.data[seg.data > 0])
        alone = len(present) == 1 and present[0] not in _LUMBAR.values()
        number = pick_label(seg, None if alone else _LUMBAR[pair["level"]])
    else:
        number = pick_label(seg)
    return Image(np.where(seg.data == number, seg.data, 0), seg.grid, seg.name)
