"""What is usual on the test set: `usual.json`, written by `results.py --docs` with docs/results.md."""

import json
import math
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = ["HIGH_IS_GOOD", "is_worse", "usual", "usual_text"]

# Of these a small number is a bad one.
HIGH_IS_GOOD = ("dice",)


@cache
def usual() -> dict[str, Any]:
    """The file: {"pairs", "kind", "measured", "stages": {stage: {measure: {"mean", "std", "worst"}}}}.

    Stages are before, affine, network alone, default and refined. "worst" is the mean over the worst tenth of the
    pairs; it may be missing.
    """
    return json.loads((files("acsgreg_tf.report") / "usual.json").read_text(encoding="utf-8"))


def usual_text(stage: str, measure: str, digits: int) -> str:
    """Such as "0.963 ± 0.006", or "" where the test set says nothing of it."""
    number = usual()["stages"].get(stage, {}).get(measure)
    return "" if number is None else f"{number['mean']:.{digits}f} ± {number['std']:.{digits}f}"


def is_worse(stage: str, measure: str, value: float | None) -> bool:
    """Whether a value is worse than those of the test set's worst tenth, or, without that, by 3 standard deviations."""
    number = usual()["stages"].get(stage, {}).get(measure)
    if number is None or value is None or math.isnan(value):
        return False
    sign = -1 if measure in HIGH_IS_GOOD else 1
    limit = number.get("worst", number["mean"] + sign * 3 * number["std"])
    return sign * (value - limit) > 0
