"""The ordered pairs of vertebrae that the paper's studies take (section 3.2)."""

import csv
import zlib
from pathlib import Path

import numpy as np

from acsgreg_tf.cohort.manifest import relative_name, sample_key
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import atomic_path

PAIR_COLUMNS = ("fixed", "fixed_seg", "moving", "moving_seg", "level")


def ordered_pairs(samples):
    """All ordered pairs (fixed, moving) of different people at the same level, by level: n(n-1) for n people."""
    return [(f, m) for members in _levels(samples) for f in members for m in members if f.person != m.person]


def mixed_pairs(samples, per_sample=10, seed=0):
    """The training pairs of the paper's studies II and III, levels mixed: each sample is fixed for `per_sample` others.

    The others are of its level, of other people, and all different; where there are fewer, each is taken. 48, 50, 51, 51 and
    50 samples give 2500 pairs.

    Returns:
        A list of (fixed, moving), by level; training shuffles.

    Raises:
        InputError: `per_sample` is not positive.
    """
    if per_sample < 1:
        raise InputError(f"per_sample {per_sample}: must be at least 1")
    pairs = []
    for members in _levels(samples):
        rng = np.random.default_rng([seed, zlib.crc32(members[0].level.encode())])
        for fixed in members:
            others = [s for s in members if s.person != fixed.person]
            pairs += [(fixed, others[i]) for i in rng.permutation(len(others))[:per_sample]]
    return pairs


def _levels(samples):
    """The samples of each level, in a fixed order."""
    return [
        sorted((s for s in samples if s.level == level), key=sample_key) for level in sorted({s.level for s in samples})
    ]


def write_pairs(path, pairs):
    """Write pairs (fixed, moving) as the CSV that `evaluation.read_pairs` and `test.py --pairs` read; whole or not at all."""
    path = Path(path)
    with atomic_path(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(PAIR_COLUMNS)
        for fixed, moving in pairs:
            names = (fixed.image, fixed.label, moving.image, moving.label)
            writer.writerow([*(relative_name(name, path) for name in names), fixed.level])


def ordered_indices(groups):
    """All ordered pairs of different places in a list of words that hold the same word: int [P, 2], a word at a time."""
    members = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    found = [np.empty((0, 2), int)]
    for group in members.values():
        pairs = np.stack(np.meshgrid(group, group, indexing="ij"), axis=-1).reshape(-1, 2)
        found.append(pairs[pairs[:, 0] != pairs[:, 1]])
    return np.concatenate(found)
