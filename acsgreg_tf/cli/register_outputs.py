"""The outputs of register.py: their names, their files and the lines on the terminal."""

import math
from argparse import Namespace
from pathlib import Path
from typing import Any

from acsgreg_tf.cli import anatomy, common
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.grid import Grid
from acsgreg_tf.io.files import ending_of
from acsgreg_tf.io.images import WRITABLE_ENDINGS as IMAGE_ENDINGS
from acsgreg_tf.io.images import write_image
from acsgreg_tf.io.transforms import AFFINE_ENDINGS, WARP_ENDINGS, check_transform_ending, write_transform
from acsgreg_tf.registration import STAGES, Result

_FIGURE_ENDINGS = (".png", ".pdf", ".svg")
_ENDINGS = {
    "moved": IMAGE_ENDINGS,
    "moved_seg": IMAGE_ENDINGS,
    "warp": WARP_ENDINGS,
    "inverse_warp": WARP_ENDINGS,
    "affine": AFFINE_ENDINGS,
    "metrics": (".json",),
    "figure": _FIGURE_ENDINGS,
}


def check_endings(options: Namespace) -> None:
    """Raise InputError for an output whose ending names no format that it can be written in."""
    for name, endings in _ENDINGS.items():
        path = getattr(options, name)
        if path is None:
            continue
        if endings in (WARP_ENDINGS, AFFINE_ENDINGS):
            check_transform_ending(path, endings)
        elif ending_of(path) not in endings:
            raise InputError(f"{path}: {_option(name)} must end in {', '.join(endings)}")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def output_paths(options: Namespace, level: str | None) -> dict[str, str | None]:
    """{option: path} of what is written.

    Args:
        options: The parsed command line.
        level: The one of several levels; None for a single one, which leaves the paths as they are.
    """
    return {_option(name): of_level(getattr(options, name), level) for name in _ENDINGS}


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
    grid = result.moved.grid
    if (path := paths["--moved"]) is not None:
        write_image(path, result.moved.data, grid)
    if (path := paths["--moved-seg"]) is not None and result.moved_seg is not None:
        write_image(path, result.moved_seg.data, grid)
    if (path := paths["--warp"]) is not None:
        write_transform(path, result.transform, grid)
    if (path := paths["--inverse-warp"]) is not None:
        write_transform(path, result.inverse, moving_grid)
    if (path := paths["--affine"]) is not None:
        write_transform(path, result.affine)
    if (path := paths["--figure"]) is not None:
        from acsgreg_tf.registration.figure import save_figure

        summary = result.summary
        save_figure(result.figure(title(summary["fixed"], summary["moving"], summary["level"])), path)
    if (path := paths["--metrics"]) is not None:
        common.write_json(path, result.summary)


def title(fixed: str, moving: str, level: str | None) -> str:
    """What names a registration on the terminal and in its figure."""
    pair = f"{Path(moving).name} to {Path(fixed).name}"
    return f"{level}: {pair}" if level else pair


def report(summary: dict[str, Any]) -> str:
    """A Result's summary as a few lines for a terminal."""
    lines = [" " * 12 + "".join(f"{stage:>12}" for stage in STAGES)]
    for name, heading in (("lncc", "LNCC"), ("ncc", "NCC"), ("dice", "Dice"), ("assd_mm", "ASSD (mm)")):
        if name in summary:
            lines.append(f"{heading:12}" + "".join(f"{value:12.3f}" for value in summary[name].values()))
    folds = summary["folds"]
    smoothed = f" ({folds['network']} in the network's own field, smoothed away)" if folds.get("network") else ""
    lines.append(f"folds {folds['count']}{smoothed}, {_inverse_line(summary)}")
    if "refinement" in summary:
        lines.append(_refinement_line(summary["refinement"]))
    lines += anatomy.report(summary)
    lines.append(f"{summary['seconds']['total']:.1f} s")
    return "\n".join(lines)


def _inverse_line(summary: dict[str, Any]) -> str:
    return f"inverse error {summary['inverse_error_mm']:.3f} mm, at most {summary['inverse_error_max_mm']:.2f} mm"


def _refinement_line(refinement: dict[str, Any]) -> str:
    if not (refinement["steps"] or refinement["stopped"]):
        return "the affine alone"
    line = f"refined in {refinement['steps']} steps"
    start, end = refinement["objective"]["start"], refinement["objective"]["end"]
    # Stopped before its first step it has no objective.
    return f"{line}: objective {start:.4f} -> {end:.4f}" if math.isfinite(start) else line
