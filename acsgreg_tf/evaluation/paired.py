"""Two methods compared on the same pairs: the mean difference with its confidence interval, and a paired test.

Ordered pairs share people, so pairs are no independent samples: the differences are first averaged over the pairs in
which a person is the fixed one, and the test is over people.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from acsgreg_tf.evaluation.runner import Row
from acsgreg_tf.evaluation.tables import COMPARED, markdown
from acsgreg_tf.io.files import ending_of

__all__ = ["COMPARISON_HEADS", "Comparison", "compare", "comparison_cells", "comparison_markdown", "person_of"]

CONFIDENCE = 0.95
MEASURES = ("dice_deformable", "assd_mm_deformable", "hd95_mm_deformable", "folds_percent", "seconds")
COMPARISON_HEADS = ("", "measure", "pairs", "people", "difference", "95 % interval", "p")
_LEVEL = re.compile(r"[-_.](?:[TL]\d{1,2})(?=[-_.]|$).*", re.IGNORECASE)
_KIND = re.compile(r"[-_.](?:ct|image|img)$", re.IGNORECASE)


class Comparison(NamedTuple):
    """One method against a reference, on the pairs that both have.

    Attributes:
        method: Its name.
        reference: The other's name.
        measure: A column of `evaluation.NUMBERS`.
        pairs: How many are compared.
        people: Of how many fixed people.
        difference: Method minus reference, the mean over people of each one's mean.
        low: Lower end of its confidence interval (95 %, Student's t over people); NaN for fewer than two people.
        high: Upper end.
        p: Of Wilcoxon's signed-rank test over people, two-sided, exact for few; NaN for fewer than two. It is not
            corrected for several comparisons.
    """

    method: str
    reference: str
    measure: str
    pairs: int
    people: int
    difference: float
    low: float
    high: float
    p: float


def person_of(path: str) -> str:
    """Who is meant by a file's name: what stands before the level, or before the ending.

    >>> person_of("crops/sub-verse004-L3_ct.nii.gz"), person_of("verse010_ct.nii.gz"), person_of("a/p7_L5.nii")
    ('sub-verse004', 'verse010', 'p7')
    """
    name = Path(path).name
    stem = name[: len(name) - len(ending_of(name))]
    return _KIND.sub("", _LEVEL.sub("", stem)) or stem


def people_of(paths: Iterable[str]) -> dict[str, str]:
    """{path: person}: by the files' names (`person_of`), or by their folders' where all files have one name.

    >>> people_of(["p1/ct.nii.gz", "p2/ct.nii.gz"])
    {'p1/ct.nii.gz': 'p1', 'p2/ct.nii.gz': 'p2'}
    """
    people = {path: person_of(path) for path in paths}
    if len({Path(path).name for path in people}) == 1:
        people = {path: Path(path).parent.name or person for path, person in people.items()}
    return people


def compare(rows: Iterable[Row], reference: Iterable[Row], measures: Sequence[str] = MEASURES) -> list[Comparison]:
    """Compare the rows of one method with those of another; pairs that one of them lacks, or failed at, are left out.

    Args:
        rows: Of the method, as `evaluation.evaluate` returns them.
        reference: Of the other.
        measures: Columns; one that no pair has is left out.
    """
    first, second = ({_key(row): row for row in part if not row["fault"]} for part in (rows, reference))
    shared = [key for key in first if key in second]
    people = people_of(key[0] for key in shared)
    comparisons = []
    for measure in measures:
        by_person: dict[str, list[float]] = {}
        for key in shared:
            difference = first[key][measure] - second[key][measure]
            if np.isfinite(difference):
                by_person.setdefault(people[key[0]], []).append(difference)
        if by_person:
            names = (first[shared[0]]["method"], second[shared[0]]["method"])
            comparisons.append(_tested(*names, measure, by_person))
    return comparisons


def _tested(method: str, reference: str, measure: str, by_person: dict[str, list[float]]) -> Comparison:
    means = np.array([np.mean(values) for values in by_person.values()])
    low = high = p = float("nan")
    if len(means) > 1:
        with np.errstate(all="ignore"):
            interval = stats.ttest_1samp(means, 0).confidence_interval(CONFIDENCE)
        low, high = float(interval.low), float(interval.high)
        # All are alike: nothing to rank, and no spread.
        p = float(stats.wilcoxon(means).pvalue) if means.any() else 1.0
    pairs = sum(map(len, by_person.values()))
    return Comparison(method, reference, measure, pairs, len(means), float(means.mean()), low, high, p)


def _key(row: Row) -> tuple[str, str, str, str]:
    return (row["fixed"], row["moving"], row["level"], row["label"])


def comparison_cells(comparisons: Iterable[Comparison]) -> list[list[str]]:
    """A line of text each, for COMPARISON_HEADS."""
    lines = []
    for c in comparisons:
        heading, digits = COMPARED[c.measure]
        known = np.isfinite(c.low) and np.isfinite(c.high)
        interval = f"{c.low:+.{digits}f} to {c.high:+.{digits}f}" if known else "–"
        p = "–" if np.isnan(c.p) else "< 0.001" if c.p < 0.001 else f"{c.p:.3f}"
        names = f"{c.method} − {c.reference}"
        lines.append([names, heading, str(c.pairs), str(c.people), f"{c.difference:+.{digits}f}", interval, p])
    return lines


def comparison_markdown(comparisons: Iterable[Comparison]) -> str:
    """The comparisons as a Markdown table."""
    return markdown(COMPARISON_HEADS, comparison_cells(comparisons))
