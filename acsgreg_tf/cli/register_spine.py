"""register.py --spine: its options, outputs and lines on the terminal; and the Jacobian map of any transform."""

import argparse
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from acsgreg_tf.anatomy.landmarks import landmark_errors, read_landmarks
from acsgreg_tf.cli import common, terminal
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import Grid, Transform, resample
from acsgreg_tf.io.files import ending_of
from acsgreg_tf.io.images import WRITABLE_ENDINGS as IMAGE_ENDINGS
from acsgreg_tf.io.images import as_label, write_image
from acsgreg_tf.io.transforms import write_transform
from acsgreg_tf.registration import NO_MODEL, Engine, Options, Scan, Selection, shared_levels
from acsgreg_tf.registration.outputs import title
from acsgreg_tf.spine import SpineResult, log_jacobian, register_spine, volume_changes, write_poses

__all__ = ["add_options", "check", "paths_of", "register_files", "write_jacobian"]

# Options of one vertebra that a spine has no use for.
_NOT_HERE = ("label", "level", "moving_label", "figure", "report", "moving_parts", "bids")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a whole spine."""
    group = parser.add_argument_group("the whole spine", "all levels that both scans hold, as one transform")
    group.add_argument(
        "--spine",
        action="store_true",
        help="one smooth invertible transform of the whole region: on each vertebra that vertebra's own, a blend "
        "between them (--levels names the levels; default: all). With --transform rigid every bone stays as it is",
    )
    group.add_argument(
        "--poses",
        metavar="OUT.csv",
        help="with --spine: table of how each level moved, and each segment (L1-L2), in anatomical angles and mm",
    )
    group.add_argument(
        "--jacobian",
        metavar="OUT",
        help="logarithm of the transform's Jacobian determinant on the fixed grid, above 0 where the moving bone is "
        "larger; with --spine and --fixed-parts the metrics hold the change of each part's volume",
    )


def check(options: Namespace) -> None:
    """Raise InputError for options that do not go together; before any image is read."""
    if options.jacobian is not None and ending_of(options.jacobian) not in IMAGE_ENDINGS:
        raise InputError(f"{options.jacobian}: --jacobian must end in {', '.join(IMAGE_ENDINGS)}")
    if options.poses is not None and ending_of(options.poses) != ".csv":
        raise InputError(f"{options.poses}: --poses must end in .csv")
    if not options.spine:
        if options.poses is not None:
            raise InputError(f"--poses {options.poses}: goes with --spine")
        return
    for name in _NOT_HERE:
        if getattr(options, name) is not None:
            raise InputError(f"--{name.replace('_', '-')} {getattr(options, name)}: does not go with --spine")
    if options.fixed_parts is not None and options.jacobian is None:
        raise InputError(f"--fixed-parts {options.fixed_parts}: with --spine it goes with --jacobian")


def paths_of(options: Namespace) -> dict[str, str | None]:
    """{option: path} of what is written of a spine."""
    names = ("moved", "moved_seg", "warp", "inverse_warp", "affine", "metrics", "poses", "jacobian")
    return {f"--{name.replace('_', '-')}": getattr(options, name) for name in names}


def register_files(
    options: Namespace,
    scans: tuple[Scan, Scan],
    selection: Selection,
    inputs: Sequence[str | None],
    engine: Callable[[], Engine],
) -> int:
    """Register the levels of two scans as one spine and write what the options ask for.

    Args:
        options: The parsed command line.
        scans: Fixed and moving.
        selection: With the tables.
        inputs: Paths of the files that are read.
        engine: Makes what computes the network.

    Returns:
        The exit code: with `strict`, `common.DOUBT` where there is a doubt, else 0.
    """
    common.check_outputs(paths_of(options), inputs)
    levels = shared_levels(options.levels or "all", *scans, selection)
    chosen = Options(options.fit_affine, options.refine, options.smoothness, options.transform)
    line = "{percentage:3.0f}% {bar:20} {elapsed} {desc}"
    tqdm.write(title(scans[0].image.name, scans[1].image.name, ", ".join(levels)))
    with tqdm(total=len(levels) + 4, bar_format=line, leave=False, disable=terminal.hides_bars()) as bar:

        def step(name: str) -> None:
            bar.set_description_str(name)
            bar.update()

        def refinement(done: int, total: int, objective: float) -> None:
            bar.set_description_str(f"refining {done}/{total}, objective {objective:.4f}")

        step("starting")
        network = None if options.model == NO_MODEL else engine()
        result = register_spine(
            *scans,
            levels,
            selection,
            network=network,
            options=chosen,
            progress=step,
            refine_progress=refinement,
        )
    result.summary["model"] = str(options.model)
    if options.fixed_points is not None:
        result.summary["landmarks"] = _landmarks(options, result.transform)
    _write(options, result, scans)
    tqdm.write(report(result.summary))
    return common.DOUBT if options.strict and result.summary["flags"] else 0


def _landmarks(options: Namespace, transform: Transform) -> dict[str, Any]:
    points = read_landmarks(options.fixed_points, options.moving_points)
    errors = landmark_errors(*points, transform)
    return {"count": len(points[0]), "tre_mm": {"spine": float(errors.mean())}, "each_mm": errors.tolist()}


def _write(options: Namespace, result: SpineResult, scans: tuple[Scan, Scan]) -> None:
    grid = result.moved.grid
    if options.moved is not None:
        write_image(options.moved, result.moved.data, grid)
    if options.moved_seg is not None:
        write_image(options.moved_seg, result.moved_seg.data, grid)
    if options.warp is not None:
        write_transform(options.warp, result.transform, grid)
    if options.inverse_warp is not None:
        write_transform(options.inverse_warp, result.inverse, scans[1].image.grid)
    if options.affine is not None:
        write_transform(options.affine, result.blend.rigid)
    if options.poses is not None:
        write_poses(options.poses, result.motions)
    if options.jacobian is not None:
        logs = write_jacobian(options.jacobian, result.transform, grid)
        parts = None if options.fixed_parts is None else as_label(options.fixed_parts)
        result.summary["volume_change_percent"] = volume_changes(logs, grid, _masks(result, grid), parts)
    if options.metrics is not None:
        common.write_json(options.metrics, result.summary)


def write_jacobian(path: str, transform: Transform, grid: Grid) -> np.ndarray:
    """Write the logarithm of a transform's Jacobian determinant on a grid, and return it."""
    logs = log_jacobian(transform, grid)
    write_image(path, logs, grid)
    return logs


def _masks(result: SpineResult, grid: Grid) -> dict[str, np.ndarray]:
    """Each fixed vertebra on a grid, (X, Y, Z) bool by level."""
    masks = {}
    for level in result.levels:
        label_map, number = level.scans[0].label_map, level.scans[0].number
        assert label_map is not None
        mask = label_map.data == number
        masks[level.level] = mask if label_map.grid.isclose(grid) else resample(mask, label_map.grid, grid) > 0.5
    return masks


def report(summary: dict[str, Any]) -> str:
    """A spine's summary as lines for a terminal."""
    lines = [f"{'':6}{'method':26}{'Dice own':>10}{'spine':>8}{'ASSD own':>10}{'spine':>8}{'apart mm':>10}"]
    for level, own in summary["levels"].items():
        line = f"{level:6}{own['method']:26}"
        if "dice" in own:
            dice, assd = own["dice"], own["assd_mm"]
            line += f"{dice['own']:10.3f}{dice['spine']:8.3f}{assd['own']:10.3f}{assd['spine']:8.3f}"
        lines.append(line + f"{own['difference_mm']:10.3f}")
    lines.append(f"{'':10}{'flexion':>9}{'right bend':>12}{'left turn':>11}{'right':>9}{'forward':>9}{'up':>9}")
    for name, motion in summary["motions"].items():
        angles = (motion[key] for key in ("flexion_deg", "right_bending_deg", "left_rotation_deg"))
        shifts = (motion[key] for key in ("right_mm", "anterior_mm", "superior_mm"))
        cells = [f"{value:{width}.1f}" for value, width in zip(angles, (9, 12, 11), strict=True)]
        lines.append(f"{name:10}" + "".join(cells) + "".join(f"{value:9.1f}" for value in shifts))
    overlap = summary["overlap_ml"]
    lines.append(
        f"overlap of moved vertebrae: {overlap['own']:.3f} ml each alone, {overlap['spine']:.3f} ml as a spine"
    )
    lines.append(
        f"folds {summary['folds']['count']}, inverse error {summary['inverse_error_mm']:.3f} mm, "
        f"at most {summary['inverse_error_max_mm']:.2f} mm"
    )
    for level, changes in summary.get("volume_change_percent", {}).items():
        lines.append(f"{level:6}" + ", ".join(f"{name} {value:+.1f} %" for name, value in changes.items()))
    if "landmarks" in summary:
        marks = summary["landmarks"]
        lines.append(f"{marks['count']} landmarks, mean error mm: {marks['tre_mm']['spine']:.2f}")
    lines.append(f"{summary['seconds']['total']:.1f} s")
    return "\n".join(lines)
