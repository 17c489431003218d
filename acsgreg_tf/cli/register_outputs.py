"""The outputs of register.py: their names, their files and the lines on the terminal."""

import math
from argparse import Namespace
from typing import Any

from acsgreg_tf.cli import anatomy
from acsgreg_tf.cli.register_surfaces import takes_surface
from acsgreg_tf.geometry.grid import Grid
from acsgreg_tf.io.files import ending_of
from acsgreg_tf.registration import STAGES, Result
from acsgreg_tf.registration.models import NO_MODEL
from acsgreg_tf.registration.options import DEFORMABLE
from acsgreg_tf.registration.outputs import ENDINGS, check_ending, title, write_result

__all__ = ["check_endings", "of_level", "output_paths", "report", "title", "write_outputs"]


def check_endings(options: Namespace) -> None:
    """Raise InputError for an output whose ending names no format that it can be written in."""
    for name in ENDINGS:
        path = getattr(options, name)
        if path is not None and not (name == "moved" and takes_surface(options)):
            check_ending(name, path)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def output_paths(options: Namespace, level: str | None) -> dict[str, str | None]:
    """{option: path} of what is written.

    Args:
        options: The parsed command line.
        level: The one of several levels; None for a single one, which leaves the paths as they are.
    """
    return {_option(name): of_level(getattr(options, name), level) for name in ENDINGS}


def of_level(path: str | None, level: str | None) -> str | None:
    """The path with the level in it, in place of {level} or before the ending; unchanged for None."""
    if path is None or level is None:
        return path
    if "{level}" in path:
        return path.replace("{level}", level)
    stem = path[: -len(ending_of(path))]
    return f"{stem}_{level}{path[len(stem) :]}"


def write_outputs(result: Result, paths: dict[str, str | None], moving_grid: Grid) -> None:
    """Write what is asked for of a registration.

    Args:
        result: The registration.
        paths: From `output_paths`.
        moving_grid: The moving image's, on which an inverse displacement lies.
    """
    write_result(result, {name: paths[_option(name)] for name in ENDINGS}, moving_grid)


def report(summary: dict[str, Any]) -> str:
    """A Result's summary as a few lines for a terminal."""
    # A transform that deforms nothing ends with its affine.
    stages = STAGES if summary.get("transform", DEFORMABLE) == DEFORMABLE else STAGES[:-1]
    lines = [" " * 12 + "".join(f"{stage:>12}" for stage in stages)]
    for name, heading in (("lncc", "LNCC"), ("ncc", "NCC"), ("dice", "Dice"), ("assd_mm", "ASSD (mm)")):
        if name in summary:
            lines.append(f"{heading:12}" + "".join(f"{summary[name][stage]:12.3f}" for stage in stages))
    folds = summary["folds"]
    smoothed = f" ({folds['network']} in the network's own field, smoothed away)" if folds.get("network") else ""
    lines.append(f"folds {folds['count']}{smoothed}, {_inverse_line(summary)}")
    if "refinement" in summary:
        alone = " without the network" if summary.get("method") == "refinement" else ""
        lines.append(_refinement_line(summary["refinement"]) + alone)
    elif summary.get("model") == NO_MODEL and summary.get("transform") == DEFORMABLE:
        lines.append("the affine alone")
    lines += anatomy.report(summary)
    lines.append(f"{summary['seconds']['total']:.1f} s")
    return "\n".join(lines)


def _inverse_line(summary: dict[str, Any]) -> str:
    return f"inverse error {summary['inverse_error_mm']:.3f} mm, at most {summary['inverse_error_max_mm']:.2f} mm"


def _refinement_line(refinement: dict[str, Any]) -> str:
    line = f"refined in {refinement['steps']} steps"
    start, end = refinement["objective"]["start"], refinement["objective"]["end"]
    # Stopped before its first step it has no objective.
    return f"{line}: objective {start:.4f} -> {end:.4f}" if math.isfinite(start) else line
