"""The options of register.py."""

from acsgreg_tf.cli import anatomy, bids, common, register_spine, voxelmorph_flags
from acsgreg_tf.cli.register_pairs import add_options as add_pairs
from acsgreg_tf.cli.register_report import add_option as add_report
from acsgreg_tf.io.images import WRITABLE_ENDINGS as IMAGE_ENDINGS
from acsgreg_tf.registration import AUTO, DEFORMABLE, ENGINES, TRANSFORMS
from acsgreg_tf.registration.refine import DEFAULT_SMOOTHNESS, DEFAULT_STEPS, FULL_STEPS

_DESCRIPTION = """Register the moving vertebra to the fixed one.

Give whole scans with label maps and the level, or images that show one vertebra each on an empty background.
Outputs lie on the FIXED file's own grid; only an inverse displacement (.nii.gz, .npz) lies on the MOVING file's."""

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


def parser() -> common.Parser:
    """The parser of all options."""
    parser = common.Parser("register", _DESCRIPTION, _EXAMPLES)
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
        help="network to use (default: the one that comes with the package; where a side has no CT none, since "
        "refinement alone fits shapes better); none goes without one",
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
        const=FULL_STEPS,
        metavar="N",
        help="optimise affine and deformation of this pair in N steps more: without a number %(const)s, 0 for the "
        f"network alone (default: {DEFAULT_STEPS}, or {FULL_STEPS} without a network). Ctrl-C ends it and writes the "
        "best so far",
    )
    parser.add_argument(
        "--smoothness",
        type=float,
        metavar="W",
        help="of the refinement: weight of the displacement's mean squared gradient "
        f"(default: {DEFAULT_SMOOTHNESS:g}); larger is smoother and folds less readily, smaller follows the surfaces "
        "more closely",
    )
    anatomy.add_weight(parser)


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
    group.add_argument("--affine", metavar="OUT", help="affine part: .tfm, .txt or .mat (ITK), or .npy (4x4, RAS mm)")
    group.add_argument("--metrics", metavar="OUT.json", help="measures, flags and seconds")
    group.add_argument("--figure", metavar="OUT.png", help="picture of before and after (.png, .pdf or .svg)")
    add_report(group)
    bids.add_option(group)
