"""Carry an image, a label map, points or a surface over with a transform that register.py wrote.

Direction: everything goes FROM the MOVING scan ONTO the FIXED scan; with --inverse, FROM the FIXED scan ONTO the MOVING
scan. So a landmark marked on the moving vertebra comes out where the same landmark lies on the fixed vertebra.

Which file that takes (register.py's options of the same names wrote them):
                     moving onto fixed     fixed onto moving (--inverse)
  image, label       --warp                --inverse-warp
  points, surface    --inverse-warp        --warp
An affine (.tfm, .txt, .npy) has an exact inverse, so that one file serves for all four; a displacement has not. Where
both files are given, the right one is taken."""

from argparse import Namespace
from collections.abc import Sequence
from types import ModuleType

import numpy as np

from acsgreg_tf.anatomy.intensity import outside_of
from acsgreg_tf.cli import common, terminal, voxelmorph_flags
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import DenseField, Grid, Transform, resample, resample_label
from acsgreg_tf.geometry.grid import box_corners
from acsgreg_tf.io.files import ending_of
from acsgreg_tf.io.images import WRITABLE_ENDINGS as IMAGE_ENDINGS
from acsgreg_tf.io.images import as_image, as_label, write_image
from acsgreg_tf.io.points import COORDINATES, point_ending, read_points
from acsgreg_tf.io.transforms import check_transform_ending, read_transform

_EXAMPLES = """the moving label map onto the fixed scan
  acsgreg warp --label b_seg.nii.gz --warp warp.h5 --reference a_ct.nii.gz --out b_on_a.nii.gz
landmarks of 3D Slicer, from the moving scan onto the fixed one
  acsgreg warp --points b.mrk.json --inverse-warp inverse.h5 --out b_on_a.mrk.json
a surface, from the fixed scan onto the moving one
  acsgreg warp --surface a.stl --inverse --warp warp.h5 --out a_on_b.stl
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 for a fault in the input)."""
    return common.run(warp_file, parser(), arguments)


def warp_file(options: Namespace) -> None:
    """Carry over what the parsed `options` name."""
    kind = next(name for name in ("image", "label", "points", "surface") if getattr(options, name) is not None)
    source = getattr(options, kind)
    _check(options, kind, source)
    with terminal.Steps(2) as step:
        step("reading the transform")
        grid = None if options.reference is None else as_image(options.reference).grid
        pulls = kind in ("image", "label")
        transform = _transform(options, "warp" if pulls != options.inverse else "inverse_warp", kind, grid)
        step(f"carrying {source} over")
        if pulls:
            _warp_volume(options, kind, source, transform, grid)
        else:
            _warp_points(options, kind, source, transform)
    origin, target = ("fixed", "moving") if options.inverse else ("moving", "fixed")
    print(f"{kind} carried from {origin} onto {target}: {options.out}")


def parser() -> common.Parser:
    """The parser of all options."""
    parser = common.Parser("warp", __doc__, _EXAMPLES)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--image", metavar="FILE", help="image to carry over")
    what.add_argument("--label", metavar="FILE", help="label map; each mask is interpolated linearly, cut at 0.5")
    what.add_argument("--points", metavar="FILE", help="points: .csv (x,y,z), or 3D Slicer's .mrk.json or .fcsv")
    what.add_argument("--surface", metavar="FILE", help="surface: .stl, .ply or .vtk (needs the vtk package)")
    parser.add_argument("--out", required=True, metavar="OUT", help="where to; points and surfaces keep their kind")
    parser.add_argument("--warp", metavar="FILE", help="transform that register.py wrote as --warp or --affine")
    parser.add_argument("--inverse-warp", metavar="FILE", help="transform that register.py wrote as --inverse-warp")
    parser.add_argument("--inverse", action="store_true", help="carry from fixed onto moving instead")
    parser.add_argument(
        "--reference",
        metavar="FILE",
        help="image whose grid the result gets: the fixed scan, with --inverse the moving one. A displacement "
        "(.nii.gz, .npz) has a grid of its own and does not need it, except for an .npz of voxelmorph's",
    )
    parser.add_argument("--interp", choices=("linear", "nearest"), help="for --image (default: linear)")
    parser.add_argument(
        "--coordinates",
        choices=COORDINATES,
        type=str.upper,
        help="mm that a .csv or a surface holds (default: RAS, unless the file says LPS); it is written in the same",
    )
    voxelmorph_flags.add(parser, "warp")
    return parser


def _check(options: Namespace, kind: str, source: str) -> None:
    """Raise InputError for what is wrong before any file is read."""
    if options.interp is not None and kind != "image":
        raise InputError(f"--interp {options.interp}: is for --image, not for --{kind}")
    if options.coordinates is not None and kind in ("image", "label"):
        raise InputError(f"--coordinates {options.coordinates}: is for --points and --surface, not for --{kind}")
    if options.warp is None and options.inverse_warp is None:
        raise InputError("--warp or --inverse-warp: one of them is needed")
    for path in (options.warp, options.inverse_warp):
        if path is not None:
            check_transform_ending(path)
    if kind in ("image", "label"):
        if ending_of(options.out) not in IMAGE_ENDINGS:
            raise InputError(f"{options.out}: --out must end in {', '.join(IMAGE_ENDINGS)}")
    else:
        find = point_ending if kind == "points" else _surfaces().surface_ending
        if find(source) != find(options.out):
            raise InputError(f"{options.out}: must end in {find(source)}, as what is carried over")
    inputs = (source, options.warp, options.inverse_warp, options.reference)
    common.check_outputs({"--out": options.out}, inputs)


def _transform(options: Namespace, needed: str, kind: str, grid: Grid | None) -> Transform:
    """The transform `needed` ("warp" or "inverse_warp"), from its file or as the inverse of the other's affine."""
    path = getattr(options, needed)
    if path is not None:
        return read_transform(path, grid)
    other = options.inverse_warp if needed == "warp" else options.warp
    transform = read_transform(other, grid)
    try:
        return transform.inverse()
    except InputError as error:
        origin, target = ("fixed", "moving") if options.inverse else ("moving", "fixed")
        name = needed.replace("_", "-")
        raise InputError(
            f"{other}: holds a displacement, which has no exact inverse; to carry {kind} from {origin} onto {target} "
            f"give --{name}, the file that register.py writes as --{name}"
        ) from error


def _warp_volume(options: Namespace, kind: str, source: str, transform: Transform, grid: Grid | None) -> None:
    volume = as_image(source) if kind == "image" else as_label(source)
    if grid is None:
        if not isinstance(transform, DenseField):
            raise InputError("--reference: is needed, since the transform has no grid of its own")
        grid = transform.grid
    elif isinstance(transform, DenseField):
        # Only the corners: the parts of a grid between them lie between them.
        corners = box_corners((0, 0, 0), np.subtract(grid.shape, 1))
        _warn_outside(grid.index_to_points(corners), transform, f"{options.reference}: corners")
    if kind == "label":
        background = 0.0
        result = resample_label(volume.data, volume.grid, grid, transform)
    else:
        background, order = outside_of(volume.data), 0 if options.interp == "nearest" else 1
        result = resample(volume.data, volume.grid, grid, transform, order, background)
    if (result == background).all():
        common.warn(f"{source}: does not reach the grid of the result, which is empty")
    write_image(options.out, result, grid)


def _warp_points(options: Namespace, kind: str, source: str, transform: Transform) -> None:
    read = read_points if kind == "points" else _surfaces().read_surface
    body = read(source, options.coordinates)
    if isinstance(transform, DenseField):
        _warn_outside(body.points, transform, f"{source}: points")
    body.write(options.out, transform.apply(body.points))


def _surfaces() -> ModuleType:
    try:
        from acsgreg_tf.io import surfaces
    except ImportError as error:
        raise InputError(
            "surfaces need the vtk package: pip install vtk, or in a clone pip install '.[surfaces]'"
        ) from error
    return surfaces


def _warn_outside(points: np.ndarray, field: DenseField, what: str) -> None:
    """Warn of points beyond a total displacement's grid, which would stay where they are, in the other scan's frame."""
    outside = np.count_nonzero(~field.grid.contains_index(field.grid.points_to_index(points)))
    if outside:
        common.warn(f"{what}: {outside} of {len(points)} lie outside of the displacement's grid and are not moved")
