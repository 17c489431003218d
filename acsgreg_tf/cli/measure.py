"""Measure anybody's answer to a pair as test.py measures ours: a transform of another tool, or a label that it moved.

The transform goes from fixed to moving points, as images are resampled. Several files are given in ANTs's order (warp
first, affine last); [FILE,1] is the inverse of an affine."""

import argparse
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acsgreg_tf.cli import anatomy, common, terminal
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.tables import is_label_number

_EXAMPLES = """what ANTs wrote, as a row of a table
  acsgreg measure --fixed-seg a_seg.nii.gz --moving-seg b_seg.nii.gz --name ants --out answers.csv \\
      --transform ants1Warp.nii.gz ants0GenericAffine.mat --inverse "[ants0GenericAffine.mat,1]" ants1InverseWarp.nii.gz
a label map that any tool moved
  acsgreg measure --fixed-seg a_seg.nii.gz --moving-seg b_seg.nii.gz --moved-seg moved_seg.nii.gz
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 for a fault in the input)."""
    return common.run(_measure, parser(), arguments)


def parser() -> common.Parser:
    """The parser of all options."""
    parser = common.Parser("measure", __doc__, _EXAMPLES)
    parser.add_argument("--fixed-seg", required=True, metavar="S", help="label map of the fixed scan")
    parser.add_argument("--moving-seg", required=True, metavar="S", help="label map of the moving scan")
    parser.add_argument("--fixed", metavar="F", help="the fixed CT, if its grid is not the label map's")
    parser.add_argument("--moving", metavar="M", help="the moving CT, likewise")
    parser.add_argument("--label", metavar="N", help="the vertebra's number in both label maps")
    parser.add_argument("--moving-label", metavar="N", help="its number in the moving label map, if that is another")
    parser.add_argument(
        "--level", metavar="L3", help="its name instead: by --table, or by VerSe's numbers in a map that holds several"
    )
    parser.add_argument("--table", help="numbers of the levels, as for register")
    parser.add_argument("--moving-table", metavar="TABLE", help="--table of the moving label map, if that is another")
    answer = parser.add_mutually_exclusive_group(required=True)
    answer.add_argument(
        "--transform",
        nargs="+",
        metavar="FILE",
        help=".h5, .tfm, .txt, .mat, .nii.gz, .npz or .npy; fixed to moving",
    )
    answer.add_argument("--moved-seg", metavar="S", help="the moving label map as the tool moved it")
    parser.add_argument("--moved-parts", metavar="S", help="with --moved-seg: the map of parts as the tool moved it")
    parser.add_argument("--affine", metavar="FILE", help="the affine part of --transform, where that is one field")
    parser.add_argument("--inverse", nargs="+", metavar="FILE", help="the inverse of --transform, moving to fixed")
    anatomy.add_options(parser)
    parser.add_argument("--name", default="answer", help="of the method, in the table (default: answer)")
    parser.add_argument("--seconds", type=float, default=float("nan"), metavar="S", help="that it took")
    parser.add_argument("--out", metavar="CSV", help="table of test.py that gets the row; made if it is not there")
    return parser


def _measure(options: argparse.Namespace) -> None:
    _check(options)
    from acsgreg_tf.evaluation import measure, put_row

    pair = _pair(options)
    common.check_outputs({"--out": options.out}, _inputs(options))
    with terminal.Steps(2) as step:
        step("reading")
        outcome = _outcome(options, pair)
        step("measuring")
        row = measure(outcome, pair) | _moved_parts(options, pair)
    for name, value in row.items():
        if value == value:  # not NaN
            print(f"{name:28} {value:.6g}")
    for note in outcome.notes:
        common.warn(note)
    if options.out:
        keys = {name: pair.get(name, "") for name in ("fixed", "moving", "level", "label")}
        if pair["moving_label"] not in ("", pair["label"]):
            keys["label"] += f" and {pair['moving_label']}"
        extra = {"notes": "; ".join(outcome.notes), "made_by": _made_by(options)}
        put_row(options.out, {"method": options.name, **keys, **row, **extra})


def _check(options: argparse.Namespace) -> None:
    anatomy.check(options)
    if options.transform is None and (options.affine or options.inverse or options.fixed_points):
        raise InputError("--affine, --inverse and landmarks: go with --transform")
    if options.moved_parts is not None and (options.moved_seg is None or options.fixed_parts is None):
        raise InputError("--moved-parts: goes with --moved-seg, --fixed-parts and --moving-parts")
    if options.moved_seg is not None and options.fixed_parts is not None and options.moved_parts is None:
        raise InputError("--fixed-parts: with --moved-seg, give --moved-parts too")
    for name in ("label", "moving_label"):
        number = getattr(options, name)
        if number and not is_label_number(number):
            raise InputError(f"--{name.replace('_', '-')} {number}: must be a whole number")
    if options.moving_label and not options.label:
        raise InputError(f"--moving-label {options.moving_label}: goes with --label")
    if options.table and not options.level:
        raise InputError(f"--table {options.table}: goes with --level")
    _selection(options).check(True, True)


def _selection(options: argparse.Namespace) -> Any:
    """The vertebra as register's options name it."""
    from acsgreg_tf.registration import Selection

    label, moving_label = (int(number) if number else None for number in (options.label, options.moving_label))
    table = {"table": options.table} if options.table else {}
    return Selection(label, options.level, moving_label=moving_label, moving_table=options.moving_table, **table)


def _inputs(options: argparse.Namespace) -> list[str]:
    files = [_file_of(text)[0] for text in (*(options.transform or ()), *(options.inverse or ()))]
    names = ("fixed_seg", "moving_seg", "fixed", "moving", "moved_seg", "moved_parts", "affine", *anatomy.FILES)
    return [*files, *(getattr(options, name) for name in names if getattr(options, name))]


def _pair(options: argparse.Namespace) -> dict[str, str]:
    """The options as a row of a list of pairs."""
    pair = {
        "fixed": options.fixed or options.fixed_seg,
        "fixed_seg": options.fixed_seg,
        "moving": options.moving or options.moving_seg,
        "moving_seg": options.moving_seg,
        "level": options.level or "",
        "label": options.label or "",
        "moving_label": options.moving_label or "",
    }
    if options.table or options.moving_table:
        selection = _selection(options)
        pair |= {"label": str(selection.fixed_number()), "moving_label": str(selection.moving_number())}
    return pair | {name: getattr(options, name) for name in anatomy.FILES if getattr(options, name)}


def _outcome(options: argparse.Namespace, pair: dict[str, str]) -> Any:
    from acsgreg_tf.evaluation import pair_labels
    from acsgreg_tf.evaluation.answers import AnswerFrame, moved_outcome, transform_outcome
    from acsgreg_tf.geometry import Affine
    from acsgreg_tf.io.images import as_label, read_image

    fixed_seg, moving_seg = pair_labels(pair)
    grids = [read_image(path).grid if path else None for path in (options.fixed, options.moving)]
    frame = AnswerFrame.of(fixed_seg, moving_seg, grids[0], grids[1])
    if options.moved_seg is not None:
        return moved_outcome(frame, _alone(as_label(options.moved_seg), moving_seg), options.seconds)
    grid = fixed_seg.grid if grids[0] is None else grids[0]
    affine = read_transforms([options.affine], grid) if options.affine else None
    if affine is not None and not isinstance(affine, Affine):
        raise InputError(f"{options.affine}: holds no affine")
    inverse = read_transforms(options.inverse, grid) if options.inverse else None
    return transform_outcome(frame, read_transforms(options.transform, grid), affine, inverse, options.seconds)


def _moved_parts(options: argparse.Namespace, pair: dict[str, str]) -> dict[str, float]:
    """The columns of parts that a tool moved itself."""
    if options.moved_parts is None:
        return {}
    from acsgreg_tf.anatomy.parts import parts_of_vertebra
    from acsgreg_tf.evaluation import pair_labels, part_columns
    from acsgreg_tf.io.images import as_label

    fixed_seg, moving_seg = pair_labels(pair)
    moved = parts_of_vertebra(as_label(options.moved_parts), _alone(as_label(options.moved_seg), moving_seg))
    return part_columns(as_label(options.fixed_parts), fixed_seg, moved, None)


def _alone(moved: Any, moving_seg: Any) -> Any:
    """A moved label map with the vertebra alone, whether it kept the vertebra's number or not."""
    from acsgreg_tf.anatomy.vertebra import pick_label
    from acsgreg_tf.io.images import Image

    original = int(moving_seg.data.max())
    number = original if (moved.data == original).any() else pick_label(moved)
    return Image((moved.data == number).astype("uint8"), moved.grid, moved.name)


def read_transforms(texts: Sequence[str], grid: Any) -> Any:
    """The transform of some files in ANTs's order: the first is applied to a fixed point first."""
    from acsgreg_tf.geometry import Composite
    from acsgreg_tf.io.transforms import read_transform

    parts = []
    for text in texts:
        path, inverted = _file_of(text)
        part = read_transform(path, grid)
        parts.append(part.inverse() if inverted else part)
    return parts[0] if len(parts) == 1 else Composite(parts)


def _file_of(text: str) -> tuple[str, bool]:
    """ANTs's "[FILE,1]" as (FILE, True)."""
    match = re.fullmatch(r"\[(.+),\s*([01])\]", text)
    return (match[1], match[2] == "1") if match else (text, False)


def _made_by(options: argparse.Namespace) -> str:
    files = [_file_of(text)[0] for text in options.transform or [options.moved_seg]]
    return "file " + ", ".join(hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12] for path in files)
