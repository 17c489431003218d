"""Several trainings of one network that differ in their seed: the mean of their rows, and how far they lie apart."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from acsgreg_tf import evaluation
from acsgreg_tf.evaluation.paired import CONFIDENCE
from acsgreg_tf.evaluation.runner import KEY, Row
from acsgreg_tf.evaluation.tables import COMPARED
from acsgreg_tf.io.tables import write_table

_MEASURES = ("dice_affine", "dice_deformable", "assd_mm_deformable", "folds_percent")


def averaged(repeats: Sequence[Sequence[Row]]) -> list[Row]:
    """The rows of the first training with each pair's numbers averaged over all.

    Args:
        repeats: Rows of each training, the same pairs in the same order.
    """
    rows = []
    for same in zip(*repeats, strict=True):
        if len({tuple(row[name] for name in KEY[1:]) for row in same}) > 1:
            raise ValueError("the trainings were tested on other pairs, or in another order")
        rows.append(same[0] | {name: float(np.mean([row[name] for row in same])) for name in evaluation.NUMBERS})
    return rows


def seed_table(path: str | os.PathLike, runs: Mapping[str, Sequence[Sequence[Row]]]) -> str:
    """How far trainings with other seeds lie apart: writes the CSV, returns the Markdown.

    A line a network: mean over its trainings and their standard deviation. Then a line for each network but the first:
    the first minus it, with its 95 % interval (Student's t over seeds, paired in their order).

    Args:
        path: Of the CSV, which has the mean of each training.
        runs: {title: rows of each of its trainings}, the network that the others are compared with first; as many
            trainings of each, two at least.
    """
    means = {
        title: np.array([[np.mean([row[name] for row in rows]) for name in _MEASURES] for rows in repeats])
        for title, repeats in runs.items()
    }
    digits = [COMPARED[name][1] for name in _MEASURES]
    table: list[dict[str, Any]] = [
        {"network": title, "training": number, **dict(zip(_MEASURES, map(float, values), strict=True))}
        for title, trainings in means.items()
        for number, values in enumerate(trainings)
    ]
    write_table(path, ["network", "training", *_MEASURES], table)
    lines = [
        [title, *(f"{m:.{n}f} ± {s:.{n}f}" for m, s, n in zip(v.mean(0), v.std(0, ddof=1), digits, strict=True))]
        for title, v in means.items()
    ]
    first, *others = means
    for title in others:
        difference = means[first] - means[title]
        with np.errstate(all="ignore"):  # all are alike: no spread
            interval = stats.ttest_1samp(difference, 0).confidence_interval(CONFIDENCE)
        cells = zip(difference.mean(0), interval.low, interval.high, digits, strict=True)
        lines.append([f"{first} − {title}", *(f"{d:+.{n}f} ({a:+.{n}f} to {b:+.{n}f})" for d, a, b, n in cells)])
    return evaluation.markdown(["", *(COMPARED[name][0] for name in _MEASURES)], lines)
