"""What is usual on the test set, for the pages of `acsgreg_tf.report`: a small file of the same numbers as the page."""

import math
from typing import Any

from acsgreg_tf.evaluation.results.run import DEFAULT, NETWORK_ALONE, REFINED, Measured
from acsgreg_tf.evaluation.results.stages import good_rows
from acsgreg_tf.evaluation.tables import LevelSummary, summarise

__all__ = ["usual_values"]

# Stage: the method whose rows it is taken from, and how its columns end.
_STAGES = {
    "before": (DEFAULT, "before"),
    "affine": (DEFAULT, "affine"),
    NETWORK_ALONE: (NETWORK_ALONE, "deformable"),
    DEFAULT: (DEFAULT, "deformable"),
    REFINED: (REFINED, "deformable"),
}
_OVERLAP = ("dice", "assd_mm")
_REGULARITY = ("std_log_jacobian", "inverse_error_mm", "inverse_error_max_mm")


def usual_values(measured: Measured) -> dict[str, Any] | None:
    """Means, standard deviations and worst tenths over the pairs of two real CTs, rounded to three digits.

    Returns:
        {"pairs", "kind", "measured", "stages": {stage: {measure: {"mean", "std", "worst"}}}}; None without such pairs.
    """
    real = good_rows(measured.rows, DEFAULT, "real")
    if not real:
        return None
    people = {v["person"] for v in measured.vertebrae if v["kind"] == "real"}
    stages = {}
    for stage, (method, ending) in _STAGES.items():
        rows = good_rows(measured.rows, method, "real")
        if rows:
            every = summarise(rows)[method]["all"]
            names = {name: f"{name}_{ending}" for name in _OVERLAP}
            if ending == "deformable":
                names |= {name: name for name in _REGULARITY}
            stages[stage] = {name: number for name, column in names.items() if (number := _rounded(every, column))}
    return {
        "pairs": len(real),
        "kind": f"pairs of two real CTs of the test set, which share {len(people)} people",
        "measured": max((session["date"] for session in measured.sessions), default="at an unknown date"),
        "stages": stages,
    }


def _rounded(summary: LevelSummary, column: str) -> dict[str, float]:
    return {what: round(value, 3) for what, value in summary[column].items() if math.isfinite(value)}
