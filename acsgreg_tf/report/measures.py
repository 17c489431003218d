"""The table of measures of one registration, with what is usual beside each."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from acsgreg_tf.registration import DEFORMABLE, STAGES
from acsgreg_tf.registration.refine import DEFAULT_STEPS
from acsgreg_tf.report.usual import is_worse, usual_text

__all__ = ["Line", "extra_lines", "lines_of", "stage_of"]


class Line(NamedTuple):
    """One line of the table.

    Attributes:
        name: Of the measure, with its unit.
        values: Text before, after the affine and at the end.
        usual: What the test set has there, or what the value must be.
        remark: "as usual", "worse than usual", or "".
    """

    name: str
    values: tuple[str, str, str]
    usual: str
    remark: str


def stage_of(summary: Mapping[str, Any]) -> str:
    """The test set's stage with which this registration compares: affine, network alone, default or refined."""
    if summary.get("transform", DEFORMABLE) != DEFORMABLE:
        return "affine"
    steps = summary.get("refinement", {}).get("steps", 0)
    if not steps:
        return "network alone"
    return "refined" if steps > DEFAULT_STEPS else "default"


def lines_of(summary: Mapping[str, Any]) -> list[Line]:
    """The measures of a summary (`registration.register`), as text.

    Args:
        summary: As `register.py --metrics` writes it; with `std_log_jacobian`, that is shown too.
    """
    stage = stage_of(summary)
    lines = []
    for key, name in (("dice", "Dice"), ("assd_mm", "surface distance (ASSD), mm")):
        if key in summary:
            lines.append(_of_stages(name, key, summary[key], stage))
    for key, name in (("lncc", "LNCC"), ("ncc", "NCC")):
        if key in summary:
            before, affine, end = (_number(summary[key][s], 3) for s in STAGES)
            lines.append(Line(name, (before, affine, end), "", ""))
    if "dice_on_fixed_grid" in summary:
        lines.append(Line("Dice on the file's own grid", ("", "", _number(summary["dice_on_fixed_grid"], 3)), "", ""))
    folds = summary.get("folds", {})
    if folds:
        remark = "as it must be" if not folds["count"] else "there must be none"
        lines.append(Line("folds of the transform", ("", "", str(folds["count"])), "0", remark))
    for key, name, digits in (
        ("std_log_jacobian", "standard deviation of log J", 3),
        ("inverse_error_mm", "inverse error, mean, mm", 3),
        ("inverse_error_max_mm", "inverse error, largest, mm", 2),
    ):
        value = summary.get(key)
        if value is not None:
            lines.append(
                Line(name, ("", "", _number(value, digits)), usual_text(stage, key, digits), _remark(stage, key, value))
            )
    return lines


def _of_stages(name: str, key: str, values: Mapping[str, float], stage: str) -> Line:
    before, affine, end = (_number(values[s], 3) for s in STAGES)
    text = usual_text(stage, key, 3)
    if stage != "affine":
        text += f" (after the affine {usual_text('affine', key, 3)})"
    return Line(name, (before, affine, end), text, _remark(stage, key, values["deformable"]))


def _remark(stage: str, key: str, value: float | None) -> str:
    if not usual_text(stage, key, 3):
        return ""
    return "worse than usual" if is_worse(stage, key, value) else "as usual"


def extra_lines(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What else a summary says, as (what, value): the affine, parts, landmarks, seconds."""
    lines = []
    affine = summary.get("affine", {})
    if affine:
        angles = ", ".join(f"{angle:.1f}" for angle in affine["rotation_deg"])
        stretches = ", ".join(f"{stretch:.3f}" for stretch in affine["stretches"])
        lines.append(("rotation about x, y, z", f"{angles} degrees ({affine['angle_deg']:.1f} in all)"))
        lines.append(("stretches", stretches))
    if summary.get("affine_fit_mm") is not None:
        lines.append(("the fit moved the network's affine by", f"{summary['affine_fit_mm']:.2f} mm"))
    if folds := summary.get("folds", {}).get("network"):
        lines.append(("folds of the network's own field, smoothed away", str(folds)))
    if "parts" in summary and "deformable" in summary["parts"]:
        mean = summary["parts"]["deformable"].get("mean")
        if mean:
            lines.append(
                ("parts, mean", f"Dice {_number(mean['dice'], 3)}, centres {_number(mean['centre_mm'], 2)} mm")
            )
    if "landmarks" in summary:
        lines.append(("landmarks, mean error", f"{_number(summary['landmarks']['tre_mm'].get('deformable'), 2)} mm"))
    refinement = summary.get("refinement")
    if refinement:
        lines.append(("refined", f"{refinement['steps']} steps, smoothness {refinement['smoothness']:g}"))
    if "seconds" in summary:
        lines.append(("time", f"{summary['seconds']['total']:.1f} s"))
    return lines


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"
