"""Register the moving vertebra to the fixed one.

Give whole scans with label maps and the level, or images that show one vertebra each on an empty background.
Answers lie
on the FIXED file's own grid; only an inverse displacement (.nii.gz, .npz) lies on the MOVING file's."""

import math
import sys
from pathlib import Path

from tqdm import tqdm

from acsgreg_tf.anatomy.levels import label_of, levels_in, parse_table
from acsgreg_tf.anatomy.vertebra import pick_label
from acsgreg_tf.cli import common
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import ending_of
from acsgreg_tf.io.images import WRITABLE_ENDINGS as IMAGE_ENDINGS
from acsgreg_tf.io.images import as_image, as_label, write_image
from acsgreg_tf.io.transforms import AFFINE_ENDINGS, WARP_ENDINGS, check_transform_ending, write_transform
from acsgreg_tf.registration import NO_MODEL, STAGES, STEPS, default_model, load_model, register
from acsgreg_tf.registration.refine import DEFAULT_SMOOTHNESS, DEFAULT_STEPS

FIGURE_ENDINGS = (".png", ".pdf", ".svg")


def main(arguments=None):
    """Run the command line; returns the exit code (2 for a fault in the input)."""
    return common.run(register_files, _parser(), arguments)


def register_files(options):
    """Register the files that the parsed `options` name, one level or several, and write what they ask for."""
    _check(options)
    several = options.levels is not None
    table = parse_table(options.table)
    moving_table = table if options.moving_table is None else parse_table(options.moving_table)
    fixed, moving = as_image(options.fixed), as_image(options.moving)
    fixed_seg, moving_seg = (
        None if path is None else as_label(path) for path in (options.fixed_seg, options.moving_seg)
    )
    levels = _levels(options.levels, ((fixed_seg, table), (moving_seg, moving_table))) if several else [options.level]
    label, moving_label = options.label, options.label if options.moving_label is None else options.moving_label
    names = {level: _outputs(options, level if several else None) for level in levels}
    for level in levels:
        common.check_outputs(names[level], _inputs(options))
        for seg, number, numbers in ((fixed_seg, label, table), (moving_seg, moving_label, moving_table)):
            if seg is not None:
                pick_label(seg, number if level is None else label_of(level, numbers))

    shown = "{percentage:3.0f}% {bar:20} {elapsed} {desc}"
    # On a terminal one live line; elsewhere the titles alone say how far it is.
    model_is_none = options.model == NO_MODEL
    stages = len(STEPS) - (not options.refine and not model_is_none)
    with tqdm(total=len(levels) * stages + 1, bar_format=shown, leave=False, disable=None) as bar:

        def progress(step, level=None):
            bar.set_description_str(f"{level}: {step}" if level else step)
            bar.update()

        def refining(done, total, objective, level=None):
            bar.set_description_str(
                f"{f'{level}: ' if level else ''}refining {done}/{total}, objective {objective:.4f}"
            )

        progress("starting Keras")
        common.start_backend(options.gpu)
        model = NO_MODEL if model_is_none else load_model(options.model)
        for level in levels:
            tqdm.write(_title(fixed.name, moving.name, level), file=sys.stdout)
            result = register(
                fixed,
                moving,
                model=model,
                fixed_seg=fixed_seg,
                moving_seg=moving_seg,
                label=label,
                level=level,
                table=table,
                moving_label=options.moving_label,
                moving_table=None if options.moving_table is None else moving_table,
                fit_affine=options.fit_affine,
                refine=options.refine,
                smoothness=options.smoothness,
                progress=lambda step, level=level: progress(step, level),
                refine_progress=lambda *args, level=level: refining(*args, level=level),
            )
            result.summary["model"] = str(options.model)
            _write(result, names[level], moving.grid)
            tqdm.write(_report(result.summary), file=sys.stdout)
            if result.summary.get("refinement", {}).get("stopped"):
                tqdm.write("stopped: the best so far is written", file=sys.stderr)
                raise KeyboardInterrupt


def _parser():
    parser = common.Parser(prog="register.py", description=__doc__)
    parser.add_argument("--fixed", required=True, metavar="F", help="fixed image: NIfTI, NRRD, MHA or a DICOM folder")
    parser.add_argument("--moving", required=True, metavar="M", help="moving image, likewise; any grid, any frame")
    parser.add_argument(
        "--moved",
        required=True,
        metavar="OUT",
        help=f"moving image on the fixed grid ({', '.join(IMAGE_ENDINGS)})",
    )
    parser.add_argument(
        "--model",
        metavar="H5",
        help="network to use (default: the one that comes with the package); none goes without one, with --refine",
    )
    parser.add_argument(
        "--no-fit-affine",
        dest="fit_affine",
        action="store_false",
        help="take the affine as the network gives it; as a rule it is fitted to the two surfaces before the deformable part",
    )
    parser.add_argument(
        "--refine",
        type=int,
        nargs="?",
        const=DEFAULT_STEPS,
        default=0,
        metavar="N",
        help="optimise affine and deformation of this pair in N steps more (without a number: %(const)s; default: none). "
        "Ctrl-C ends it and writes the best so far",
    )
    parser.add_argument(
        "--smoothness",
        type=float,
        metavar="W",
        help=f"with --refine: weight of the displacement's mean squared gradient (default: {DEFAULT_SMOOTHNESS:g}); larger is "
        "smoother and folds less readily, smaller follows the surfaces more closely",
    )

    group = parser.add_argument_group("labels", "which vertebra; without labels the images must show one alone")
    group.add_argument("--fixed-seg", metavar="S", help="label map of the fixed scan")
    group.add_argument("--moving-seg", metavar="S", help="label map of the moving scan")
    which = group.add_mutually_exclusive_group()
    which.add_argument("--label", type=int, metavar="N", help="the vertebra's number in the label maps")
    which.add_argument("--level", metavar="L3", help="its name instead")
    which.add_argument(
        "--levels",
        metavar="all",
        help="several names (L1,L3), or all that both scans hold; every output is then written once a level, its name "
        "with the level where it says {level}, or else before its ending: moved.nii.gz becomes moved_L3.nii.gz",
    )
    group.add_argument(
        "--table",
        default="verse",
        help="numbers of the levels: verse (L1 is 20; the default), totalsegmentator (L1 is 31), or a list L1=1,L2=2",
    )
    group.add_argument(
        "--moving-label", type=int, metavar="N", help="its number in the moving label map, if that is another"
    )
    group.add_argument(
        "--moving-table", metavar="TABLE", help="--table of the moving label map, if another tool made it"
    )

    group = parser.add_argument_group("more outputs", "the ending decides the format")
    group.add_argument("--moved-seg", metavar="OUT", help="the moving vertebra's label on the fixed grid")
    group.add_argument(
        "--warp",
        metavar="OUT",
        help="whole transform, fixed to moving: .h5 (ITK composite: affine and displacement), .nii.gz (total "
        "displacement for ITK and ANTs) or .npz (voxelmorph)",
    )
    group.add_argument("--inverse-warp", metavar="OUT", help="its inverse, moving to fixed, likewise")
    group.add_argument("--affine", metavar="OUT", help="affine part: .tfm or .txt (ITK), or .npy (4x4, RAS mm)")
    group.add_argument("--metrics", metavar="OUT.json", help="measures, flags and seconds")
    group.add_argument("--figure", metavar="OUT.png", help="picture of before and after (.png, .pdf or .svg)")
    common.add_gpu(parser)
    return parser


def _check(options):
    """All that can be said before a file is read."""
    checks = {
        "moved": IMAGE_ENDINGS,
        "moved_seg": IMAGE_ENDINGS,
        "warp": WARP_ENDINGS,
        "inverse_warp": WARP_ENDINGS,
        "affine": AFFINE_ENDINGS,
        "metrics": (".json",),
        "figure": FIGURE_ENDINGS,
    }
    for name, endings in checks.items():
        path = getattr(options, name)
        if path is not None and endings in (WARP_ENDINGS, AFFINE_ENDINGS):
            check_transform_ending(path, endings)
        elif path is not None and ending_of(path) not in endings:
            raise InputError(f"{path}: --{name.replace('_', '-')} must end in {', '.join(endings)}")
    if options.moved_seg is not None and options.moving_seg is None:
        raise InputError(f"{options.moved_seg}: --moved-seg needs --moving-seg")
    if options.levels is not None and (options.fixed_seg is None or options.moving_seg is None):
        raise InputError(f"--levels {options.levels}: needs --fixed-seg and --moving-seg")
    if (options.level or options.label) is not None and options.fixed_seg is None and options.moving_seg is None:
        raise InputError("--level and --label: need --fixed-seg or --moving-seg to look it up in")
    if not options.fit_affine and options.model == NO_MODEL:
        raise InputError("--no-fit-affine: needs a network, whose affine is taken as it is")
    if options.moving_label is not None and (
        options.moving_seg is None or (options.level or options.levels) is not None
    ):
        raise InputError(f"--moving-label {options.moving_label}: goes with --moving-seg, and without --level")
    if options.moving_table is not None and (options.level or options.levels) is None:
        raise InputError(f"--moving-table {options.moving_table}: goes with --level or --levels")
    if options.refine < 0:
        raise InputError(f"--refine {options.refine}: must not be negative")
    if options.smoothness is not None and not (math.isfinite(options.smoothness) and options.smoothness >= 0):
        raise InputError(f"--smoothness {options.smoothness}: must be a number and not negative")
    if options.smoothness is not None and not options.refine:
        raise InputError(f"--smoothness {options.smoothness:g}: goes with --refine")
    if options.model is None:
        options.model = default_model()
    for path in (*([] if options.model == NO_MODEL else [options.model]), *_inputs(options)):
        if path is not None and not Path(path).exists():
            raise InputError(f"{path}: no such file")
    if options.levels is None:
        common.check_outputs(_outputs(options, None), _inputs(options))


def _inputs(options):
    return [options.fixed, options.moving, options.fixed_seg, options.moving_seg]


def _outputs(options, level):
    """{option: path} of what is written, for one of several levels if there are several."""
    names = ("moved", "moved_seg", "warp", "inverse_warp", "affine", "metrics", "figure")
    return {f"--{name.replace('_', '-')}": _named(getattr(options, name), level) for name in names}


def _named(path, level):
    if path is None or level is None:
        return path
    if "{level}" in path:
        return path.replace("{level}", level)
    stem = path[: -len(ending_of(path))]
    return f"{stem}_{level}{path[len(stem) :]}"


def _levels(text, sides):
    """The levels asked for, or all that both label maps hold, named and ordered as in the fixed map's table.

    `sides`: (label map, its table), fixed and moving.
    """
    table = sides[0][1]
    if text.strip().lower() != "all":
        numbers = [label_of(name, table) for name in text.split(",")]
        return [level for level, number in table.items() if number in numbers]
    held = [levels_in(seg.data, numbers) for seg, numbers in sides]
    in_moving = {level.lower() for level in held[1]}
    common_levels = [level for level in held[0] if level.lower() in in_moving]
    if not common_levels:
        found = "; ".join(
            f"{seg.name} holds {', '.join(levels) or 'none'}" for (seg, _), levels in zip(sides, held, strict=True)
        )
        raise InputError(f"--levels all: no level is in both label maps: {found}")
    return common_levels


def _write(result, names, moving_grid):
    fixed_grid = result.moved.grid
    write_image(names["--moved"], result.moved.data, fixed_grid)
    if names["--moved-seg"] is not None:
        write_image(names["--moved-seg"], result.moved_seg.data, fixed_grid)
    if names["--warp"] is not None:
        write_transform(names["--warp"], result.transform, fixed_grid)
    if names["--inverse-warp"] is not None:
        write_transform(names["--inverse-warp"], result.inverse, moving_grid)
    if names["--affine"] is not None:
        write_transform(names["--affine"], result.affine)
    if names["--figure"] is not None:
        from acsgreg_tf.registration.figure import save_figure

        save_figure(
            result.figure(_title(*(result.summary[key] for key in ("fixed", "moving", "level")))),
            names["--figure"],
        )
    if names["--metrics"] is not None:
        common.write_json(names["--metrics"], result.summary)


def _title(fixed, moving, level):
    pair = f"{Path(moving).name} to {Path(fixed).name}"
    return f"{level}: {pair}" if level else pair


def _report(summary):
    """The summary as a few lines for a terminal."""
    lines = [" " * 12 + "".join(f"{stage:>12}" for stage in STAGES)]
    for name, title in (("lncc", "LNCC"), ("ncc", "NCC"), ("dice", "Dice"), ("assd_mm", "ASSD (mm)")):
        if name in summary:
            lines.append(f"{title:12}" + "".join(f"{value:12.3f}" for value in summary[name].values()))
    folds = summary["folds"]
    smoothed = f" ({folds['network']} in the network's own field, smoothed away)" if folds.get("network") else ""
    lines.append(f"folds {folds['count']}{smoothed}, inverse error {summary['inverse_error_mm']:.3f} mm")
    if "refinement" in summary:
        found = summary["refinement"]
        start, end = found["objective"]["start"], found["objective"]["end"]
        # Without deformable steps (none asked for, or stopped before) there is no objective to tell.
        shown = f": objective {start:.4f} -> {end:.4f}" if math.isfinite(start) else ""
        refined = f"refined in {found['steps']} steps{shown}"
        asked = found["steps"] or found["stopped"]
        lines.append(refined if asked else "the affine alone")
    cut = " and ".join(which for which, is_cut in summary["cut"].items() if is_cut)
    if cut:
        lines.append(f"not whole: the {cut} vertebra")
    lines.append(f"{summary['seconds']['total']:.1f} s")
    return "\n".join(lines)
