"""Parts and landmarks on a command line: their options, and what is measured with them."""

import argparse
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from acsgreg_tf.anatomy.landmarks import landmark_errors, read_landmarks
from acsgreg_tf.anatomy.parts import compare_parts, mean_of_parts, parts_of_vertebra
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import Transform
from acsgreg_tf.io.images import Image, as_label
from acsgreg_tf.registration.refine import DEFAULT_PARTS_WEIGHT

FILES = ("fixed_parts", "moving_parts", "fixed_points", "moving_points")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name maps of parts and landmarks."""
    group = parser.add_argument_group("anatomy", "measured with the transform, beside the silhouette")
    group.add_argument(
        "--fixed-parts", metavar="S", help="map of the fixed vertebra's parts (VerSe's subregions 41 to 50)"
    )
    group.add_argument("--moving-parts", metavar="S", help="of the moving one's")
    group.add_argument("--fixed-points", metavar="P", help="landmarks of the fixed scan: .mrk.json, .fcsv or .csv")
    group.add_argument("--moving-points", metavar="P", help="the same landmarks of the moving scan, in the same order")


def add_weight(group: Any) -> None:
    """Add the option that says how much parts count in a refinement."""
    group.add_argument(
        "--parts-weight",
        type=float,
        metavar="W",
        help="with --refine, --fixed-parts and --moving-parts: how much laying each part on its partner counts "
        f"(default: {DEFAULT_PARTS_WEIGHT:g}); 0 only measures them",
    )


def parts_to_refine(options: Namespace) -> tuple[str | None, str | None]:
    """The maps of parts that a refinement uses, fixed and moving; None for both where none was asked for.

    What pulls says little as a measure, so parts pull where the user names --refine only.
    """
    if not options.refine or options.moving_parts is None:
        return None, None
    return options.fixed_parts, options.moving_parts


def check(options: Namespace) -> None:
    """Raise InputError unless each kind of file is there on both sides or on none, and a weight goes with parts."""
    if getattr(options, "parts_weight", None) is not None and options.moving_parts is None:
        raise InputError(f"--parts-weight {options.parts_weight:g}: needs --fixed-parts and --moving-parts")
    if getattr(options, "parts_weight", None) is not None and not options.refine:
        raise InputError(f"--parts-weight {options.parts_weight:g}: goes with --refine")
    # Of a whole spine the fixed parts say where volumes are compared.
    for what in ("points",) if getattr(options, "spine", False) else ("parts", "points"):
        sides = [getattr(options, f"{side}_{what}") for side in ("fixed", "moving")]
        if (sides[0] is None) != (sides[1] is None):
            raise InputError(f"--fixed-{what} and --moving-{what}: give both or none")
    if options.fixed_points is not None:
        read_landmarks(options.fixed_points, options.moving_points)


def measure(
    options: Namespace,
    labels: tuple[tuple[Image | None, int | None], ...],
    transforms: Mapping[str, Transform],
) -> dict[str, Any]:
    """What a summary says of the parts and landmarks that the options name.

    Args:
        options: The parsed command line.
        labels: The fixed label map and the vertebra's number in it, each None where there is none; then the moving.
        transforms: By stage, fixed RAS mm -> moving RAS mm.

    Returns:
        parts: {stage: {part or "mean": {"dice", "assd_mm", "centre_mm"}}}; landmarks: {"count", "tre_mm": {stage:
        mean}, "each_mm": after the last stage}; each where its files are given.
    """
    summary: dict[str, Any] = {}
    if options.fixed_parts is not None:
        fixed, moving = (
            parts_of_vertebra(as_label(path), *side)
            for path, side in zip((options.fixed_parts, options.moving_parts), labels, strict=True)
        )
        compared = {stage: compare_parts(fixed, moving, transform) for stage, transform in transforms.items()}
        summary["parts"] = {stage: {**parts, "mean": mean_of_parts(parts)} for stage, parts in compared.items()}
    if options.fixed_points is not None:
        points = read_landmarks(options.fixed_points, options.moving_points)
        errors = {stage: landmark_errors(*points, transform) for stage, transform in transforms.items()}
        summary["landmarks"] = {
            "count": len(points[0]),
            "tre_mm": {stage: float(each.mean()) for stage, each in errors.items()},
            "each_mm": list(errors.values())[-1].tolist(),
        }
    return summary


def report(summary: dict[str, Any]) -> list[str]:
    """The same as lines for a terminal."""
    lines = []
    if "parts" in summary:
        *_, last = summary["parts"].values()
        lines += [f"{'parts':18}{'Dice':>8}{'ASSD mm':>10}{'centre mm':>11}"]
        lines += [
            f"  {name:16}{part['dice']:8.3f}{part['assd_mm']:10.2f}{part['centre_mm']:11.2f}"
            for name, part in last.items()
        ]
    if "landmarks" in summary:
        marks = summary["landmarks"]
        stages = ", ".join(f"{value:.2f} {stage}" for stage, value in marks["tre_mm"].items())
        lines.append(f"{marks['count']} landmarks, mean error mm: {stages}")
    return lines
