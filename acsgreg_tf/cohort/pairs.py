"""The ordered pairs of vertebrae that the paper's studies take (section 3.2)."""

import os
import zlib
from collections.abc import Iterable, Sequence

import numpy as np

from acsgreg_tf.cohort.manifest import Sample, relative_name, sample_key
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.tables import write_table

__all__ = ["PAIR_COLUMNS", "mixed_pairs", "ordered_indices", "ordered_pairs", "write_pairs"]

PAIR_COLUMNS = ("fixed", "fixed_seg", "moving", "moving_seg", "level")

Pair = tuple[Sample, Sample]


def ordered_pairs(samples: Iterable[Sample]) -> list[Pair]:
    """All ordered pairs (fixed, moving) of different people at the same level, by level: n(n-1) for n people.

    >>> samples = [Sample("ann", "L3"), Sample("ben", "L3"), Sample("ben", "L4")]
    >>> [(fixed.person, moving.person, fixed.level) for fixed, moving in ordered_pairs(samples)]
    [('ann', 'ben', 'L3'), ('ben', 'ann', 'L3')]
    """
    return [(f, m) for members in _by_level(samples) for f in members for m in members if f.person != m.person]


def mixed_pairs(samples: Iterable[Sample], per_sample: int = 10, seed: int = 0) -> list[Pair]:
    """Draw the training pairs of the paper's studies II and III: each sample is fixed for `per_sample` others.

    The others are of its level, of other people, and all different; where there are fewer, each is taken. 48, 50, 51,
    51 and 50 samples give 2500 pairs.

    Args:
        samples: Samples that show a vertebra.
        per_sample: At least 1.
        seed: The same seed and samples give the same pairs.

    Returns:
        (fixed, moving), by level; training shuffles.

    Raises:
        InputError: `per_sample` is not positive.
    """
    if per_sample < 1:
        raise InputError(f"per_sample {per_sample}: must be at least 1")
    pairs = []
    for members in _by_level(samples):
        rng = np.random.default_rng([seed, zlib.crc32(members[0].level.encode())])
        for fixed in members:
            others = [s for s in members if s.person != fixed.person]
            pairs += [(fixed, others[i]) for i in rng.permutation(len(others))[:per_sample]]
    return pairs


def _by_level(samples: Iterable[Sample]) -> list[list[Sample]]:
    """The samples of each level, in a fixed order."""
    levels: dict[str, list[Sample]] = {}
    for sample in samples:
        levels.setdefault(sample.level, []).append(sample)
    return [sorted(levels[level], key=sample_key) for level in sorted(levels)]


def write_pairs(path: str | os.PathLike, pairs: Iterable[Pair]) -> None:
    """Write pairs (fixed, moving) as the CSV that `test.py --pairs` reads; whole or not at all.

    Raises:
        InputError: The folder does not exist or cannot be written.
    """
    rows = []
    for fixed, moving in pairs:
        paths = (fixed.image, fixed.label, moving.image, moving.label)
        rows.append(dict(zip(PAIR_COLUMNS, [*(relative_name(name, path) for name in paths), fixed.level])))
    write_table(path, PAIR_COLUMNS, rows)


def ordered_indices(groups: Sequence[str]) -> np.ndarray:
    """All ordered pairs of different places in a list of words that hold the same word.

    Returns:
        int [P, 2], a word at a time.

    >>> ordered_indices(["a", "b", "a"]).tolist()
    [[0, 2], [2, 0]]
    """
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    result = [np.empty((0, 2), int)]
    for places in members.values():
        pairs = np.stack(np.meshgrid(places, places, indexing="ij"), axis=-1).reshape(-1, 2)
        result.append(pairs[pairs[:, 0] != pairs[:, 1]])
    return np.concatenate(result)
