"""Register the moving vertebra to the fixed one.

Give whole scans with label maps and the level, or images that show one vertebra each on an empty background.
Outputs lie on the FIXED file's own grid; only an inverse displacement (.nii.gz, .npz) lies on the MOVING file's."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from acsgreg_tf.cli import anatomy, bids, common, register_spine, register_surfaces, terminal, voxelmorph_flags
from acsgreg_tf.cli.register_levels import MergedLabels, levels_table
from acsgreg_tf.cli.register_outputs import check_endings, of_level, output_paths, report, title, write_outputs
from acsgreg_tf.cli.register_pairs import add_options as add_pairs
from acsgreg_tf.cli.register_pairs import run_pairs
from acsgreg_tf.cli.register_report import Report
from acsgreg_tf.cli.register_report import add_option as add_report
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.images import WRITABLE_ENDINGS as IMAGE_ENDINGS
from acsgreg_tf.registration import (
    AUTO,
    DEFORMABLE,
    ENGINES,
    KERAS,
    NO_MODEL,
    STEPS,
    TRANSFORMS,
    Engine,
    Options,
    Scan,
    Selection,
    default_model,
    has_openvino,
    load_engine,
    read_scan,
    register,
    select,
    shared_levels,
)
from acsgreg_tf.registration.refine import DEFAULT_SMOOTHNESS, DEFAULT_STEPS

# The level's name, or None where it has none: the chosen vertebra in the fixed and in the moving scan.
Scans = dict[str | None, tuple[Scan, Scan]]

_EXAMPLES = """two masked crops with their label maps
  acsgreg register --fixed a_ct.nii.gz --fixed-seg a_seg.nii.gz --moving b_ct.nii.gz --moving-seg b_seg.nii.gz \\
      --moved moved.nii.gz --warp warp.h5 --inverse-warp inverse.h5 --metrics metrics.json --figure look.png
one vertebra of two whole scans, refined
  acsgreg register --fixed a_ct.nii.gz --fixed-seg a_seg.nii.gz --moving b_ct.nii.gz --moving-seg b_seg.nii.gz \\
      --level L3 --refine --moved moved.nii.gz
every vertebra that both scans hold, one labelled by TotalSegmentator
  acsgreg register --fixed a_ct.nii.gz --fixed-seg a_seg.nii.gz --moving b_ct.nii.gz --moving-seg b_seg.nii.gz \\
      --moving-table totalsegmentator --levels all --moved moved.nii.gz --warp warp.h5
follow-up: the bone as it is, moved and turned
  acsgreg register --fixed a_ct.nii.gz --fixed-seg a_seg.nii.gz --moving b_ct.nii.gz --moving-seg b_seg.nii.gz \\
      --level L3 --transform rigid --moved moved.nii.gz --affine rigid.tfm --strict
a list of pairs, two at a time
  acsgreg register --pairs pairs.csv --out registered --jobs 2 --warp {id}/warp.h5 --metrics {id}/metrics.json
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 for a fault in the input)."""
    options = parser()
    options.set_defaults(command=common.command_line("register", arguments))
    return common.run(register_files, options, arguments)


def register_files(options: Namespace) -> int:
    """Register the files that the parsed options name, one level, several or a list of pairs, and write the outputs.

    Returns:
        The exit code: with `strict`, `common.DOUBT` where a registration is doubtful, else 0.
    """
    if options.pairs is not None:
        return run_pairs(options)
    _check(options)
    if options.spine:
        sides = _read_sides(options)
        return register_spine.register_files(
            options, sides, _selection(options, None), _inputs(options), lambda: _engine(options)
        )
    scans = _read(options)
    paths = {level: output_paths(options, level if options.levels else None) for level in scans}
    for level in scans:
        common.check_outputs(paths[level], _inputs(options))
    page = Report(options, _inputs(options))
    merged = MergedLabels(of_level(options.moved_seg, "all") if len(scans) > 1 else None)
    common.check_outputs({"--moved-seg": merged.path}, _inputs(options))
    summaries = {}
    with _Progress(levels=len(scans), refined=options.refine > 0 or options.model == NO_MODEL) as progress:
        progress.step("starting")
        model = NO_MODEL if options.model == NO_MODEL else _engine(options)
        for level, (fixed, moving) in scans.items():
            progress.level = level
            tqdm.write(title(fixed.image.name, moving.image.name, level), file=sys.stdout)
            result = register(
                fixed,
                moving,
                model=model,
                level=level,
                fit_affine=options.fit_affine,
                refine=options.refine,
                smoothness=options.smoothness,
                transform=options.transform,
                progress=progress.step,
                refine_progress=progress.refinement,
            )
            result.summary["model"] = str(options.model)
            transforms = {"affine": result.affine, "deformable": result.transform}
            labels = ((scan.label_map, scan.number) for scan in (fixed, moving))
            result.summary.update(anatomy.measure(options, tuple(labels), transforms))
            if register_surfaces.takes_surface(options):
                register_surfaces.write_moved_surface(options, result.inverse)
                paths[level]["--moved"] = None
            write_outputs(result, paths[level], moving.image.grid)
            tqdm.write(report(result.summary), file=sys.stdout)
            bids.write_sidecars(options, paths[level])
            progress.show("drawing")
            if options.jacobian is not None:
                path = of_level(options.jacobian, level if options.levels else None)
                register_spine.write_jacobian(str(path), result.transform, result.moved.grid)
            page.add(result, fixed, moving, level)
            merged.add(result)
            summaries[level or ""] = result.summary
            if result.summary.get("refinement", {}).get("stopped"):
                break
    page.write()
    if len(summaries) > 1:
        merged.write()
        tqdm.write(levels_table(summaries), file=sys.stdout)
    if result.summary.get("refinement", {}).get("stopped"):
        tqdm.write("stopped: the best so far is written", file=sys.stderr)
        raise KeyboardInterrupt
    return common.DOUBT if options.strict and any(summary["flags"] for summary in summaries.values()) else 0


class _Progress:
    """One live line on a terminal; elsewhere nothing, since the titles say how far it is."""

    def __init__(self, levels: int, refined: bool) -> None:
        steps = levels * (len(STEPS) - (not refined)) + 1
        line = "{percentage:3.0f}% {bar:20} {elapsed} {desc}"
        self.bar = tqdm(total=steps, bar_format=line, leave=False, disable=terminal.hides_bars())
        self.level: str | None = None

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def step(self, name: str) -> None:
        self.show(name)
        self.bar.update()

    def refinement(self, done: int, total: int, objective: float) -> None:
        self.show(f"refining {done}/{total}, objective {objective:.4f}")

    def show(self, text: str) -> None:
        self.bar.set_description_str(f"{self.level}: {text}" if self.level else text)


def _selection(options: Namespace, level: str | None) -> Selection:
    return Selection(options.label, level, options.table, options.moving_label, options.moving_table)


def _check(options: Namespace) -> None:
    """Raise InputError for what is wrong before any image is read."""
    sides = [side for side in ("fixed", "moving") if getattr(options, side) is None]
    missing = [f"--{side}" for side in sides if getattr(options, f"{side}_seg") is None]
    if missing:
        need = f"the following arguments are required: {', '.join(missing)}"
        raise InputError(f"{need} (or a label map alone, --fixed-seg, --moving-seg; or --pairs; see --help)")
    if sides and options.bids is not None:
        raise InputError(f"--bids {options.bids}: needs --{sides[0]}, whose name says what it shows")
    bids.name_outputs(options)
    for name in ("out", "dask"):
        if getattr(options, name) is not None:
            raise InputError(f"--{name} {getattr(options, name)}: goes with --pairs")
    register_surfaces.check(options)
    check_endings(options)
    register_spine.check(options)
    anatomy.check(options)
    if options.levels is not None and options.fixed_points is not None and not options.spine:
        raise InputError(f"--levels {options.levels}: landmarks are those of one vertebra; give --level")
    if options.moved_seg is not None and options.moving_seg is None:
        raise InputError(f"{options.moved_seg}: --moved-seg needs --moving-seg")
    if options.levels is not None and (options.fixed_seg is None or options.moving_seg is None):
        raise InputError(f"--levels {options.levels}: needs --fixed-seg and --moving-seg")
    if options.spine and (options.fixed_seg is None or options.moving_seg is None):
        raise InputError("--spine: needs --fixed-seg and --moving-seg")
    if options.model == NO_MODEL and not options.fit_affine:
        raise InputError("--no-fit-affine: goes with a network")
    selection = _selection(options, options.level or options.levels)
    selection.check(options.fixed_seg is not None, options.moving_seg is not None)
    Options(options.fit_affine, options.refine, options.smoothness, options.transform).check_model(options.model)
    if options.model is None:
        options.model = default_model()
    for path in _inputs(options):
        if path is not None and not Path(path).exists():
            raise InputError(f"{path}: no such file")
    _warn_of_one_vertebra(options)
    if options.spine:
        common.check_outputs(register_spine.paths_of(options), _inputs(options))
    elif options.levels is None:
        common.check_outputs(output_paths(options, None), _inputs(options))


def _warn_of_one_vertebra(options: Namespace) -> None:
    """Warn where fixed and moving are one and the same: the result would show nothing."""
    fixed, moving = options.fixed or options.fixed_seg, options.moving or options.moving_seg
    one_file = Path(fixed).samefile(moving)
    if one_file and options.moving_label in (None, options.label) and options.moving_table in (None, options.table):
        common.warn(f"{moving}: is both --fixed and --moving")


def _engine(options: Namespace) -> Engine:
    """The network, on Keras where a GPU is asked for; Keras's backend is started only if it is what computes."""
    engine = options.engine
    if engine == AUTO and options.gpu not in (None, "-1"):
        engine = KERAS
    if engine == KERAS or not has_openvino():
        common.start_backend(options.gpu)
    return load_engine(options.model, engine)


def _read(options: Namespace) -> Scans:
    """Read both scans, and choose the vertebra of each level in them."""
    fixed, moving = _read_sides(options)
    levels: list[str | None] = [options.level]
    if options.levels is not None:
        levels = [*shared_levels(options.levels, fixed, moving, _selection(options, None))]
    return {level: select(fixed, moving, _selection(options, level)) for level in levels}


def _read_sides(options: Namespace) -> tuple[Scan, Scan]:
    fixed = read_scan(options.fixed, options.fixed_seg, options.fixed_ignore)
    return fixed, read_scan(options.moving, options.moving_seg, options.moving_ignore)


def _inputs(options: Namespace) -> list[str | None]:
    model = None if options.model == NO_MODEL else options.model
    others = [getattr(options, name) for name in anatomy.FILES]
    labels = [options.fixed_seg, options.moving_seg, options.fixed_ignore, options.moving_ignore]
    return [options.fixed, options.moving, *labels, model, *others]


def parser() -> common.Parser:
    """The parser of all options."""
    parser = common.Parser("register", __doc__, _EXAMPLES)
    parser.add_argument(
        "--fixed",
        metavar="F",
        help="fixed image: NIfTI, NRRD, MHA or a DICOM folder, or a surface (.stl, .ply, .vtk); without it --fixed-seg "
        "stands alone",
    )
    parser.add_argument("--moving", metavar="M", help="moving image, likewise; any grid, any frame")
    parser.add_argument(
        "--moved",
        metavar="OUT",
        help=f"moving image on the fixed grid ({', '.join(IMAGE_ENDINGS)}); of a moving surface also a surface of its "
        "kind, each vertex where the fixed bone has it",
    )
    parser.add_argument(
        "--model",
        metavar="H5",
        help="network to use (default: the one that comes with the package); none goes without one, with --refine",
    )
    parser.add_argument(
        "--transform",
        choices=TRANSFORMS,
        default=DEFORMABLE,
        help="what is estimated (default: %(default)s); the others leave the bone as it is, for follow-up and motion",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="exit with 3 where a registration is doubtful (its outputs are written all the same)",
    )
    _add_refinement(parser)
    _add_labels(parser)
    register_spine.add_options(parser)
    anatomy.add_options(parser)
    _add_outputs(parser)
    add_pairs(parser)
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default=AUTO,
        help="what computes the network: keras (on a GPU where there is one), openvino (on the CPU; starts sooner), or "
        "auto: openvino where it is installed and no GPU is asked for (default: %(default)s)",
    )
    common.add_gpu(parser)
    voxelmorph_flags.add(parser, "register")
    return parser


def _add_refinement(parser: common.Parser) -> None:
    parser.add_argument(
        "--no-fit-affine",
        dest="fit_affine",
        action="store_false",
        help="take the affine as the network estimates it; by default it is fitted to the two surfaces before the "
        "deformable part",
    )
    parser.add_argument(
        "--refine",
        type=int,
        nargs="?",
        const=DEFAULT_STEPS,
        default=0,
        metavar="N",
        help="optimise affine and deformation of this pair in N steps more (without a number: %(const)s; default: none)"
        ". Ctrl-C ends it and writes the best so far",
    )
    parser.add_argument(
        "--smoothness",
        type=float,
        metavar="W",
        help="with --refine: weight of the displacement's mean squared gradient "
        f"(default: {DEFAULT_SMOOTHNESS:g}); larger is smoother and folds less readily, smaller follows the surfaces "
        "more closely",
    )


def _add_labels(parser: common.Parser) -> None:
    group = parser.add_argument_group("labels", "which vertebra; without labels the images must show one alone")
    group.add_argument("--fixed-seg", metavar="S", help="label map of the fixed scan")
    group.add_argument("--moving-seg", metavar="S", help="label map of the moving scan")
    group.add_argument(
        "--fixed-ignore",
        metavar="M",
        help="mask of where not to compare the fixed scan (metal, a fracture, a tip)",
    )
    group.add_argument("--moving-ignore", metavar="M", help="likewise of the moving scan")
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


def _add_outputs(parser: common.Parser) -> None:
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
    add_report(group)
    bids.add_option(group)
