"""What a cut does to a registration: each pair once whole, and once for each way of cutting its moving scan.

    python benchmarks/cut_vertebra.py --pairs pairs.csv --refine 0 --out cut.csv

A scan is cut by cropping CT and label map, as where a field of view ends ("third" of the vertebra at its top, its
bottom or its left; "tips": a seventh at its left), or by deleting the label there and ignoring the place. The distance
is |T_cut(x) - T_whole(x)| over the fixed vertebra's voxels that the whole transform takes at least `CLEAR` mm from the
cut, with and without the deformable part; beside it, how far the fixed surface there lies from the moving one through
either transform.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas
from scipy.ndimage import map_coordinates

import acsgreg_tf
from acsgreg_tf.evaluation import read_pairs
from acsgreg_tf.geometry import Grid
from acsgreg_tf.geometry.distance import from_crop
from acsgreg_tf.io.images import Image, as_image, as_label
from acsgreg_tf.registration import load_engine

CLEAR = 5.0  # mm
# Axis (x to the right, z up), whether from its low end, and how much of the vertebra's extent goes.
CUTS = {
    "top third": (2, False, 1 / 3),
    "bottom third": (2, True, 1 / 3),
    "left third": (0, True, 1 / 3),
    "tip": (0, True, 1 / 7),
}


def cut_plane(label: Image, number: int, axis: int, low: bool, share: float) -> float:
    """Where along the world's axis the vertebra is cut, mm."""
    along = label.grid.index_to_points(np.argwhere(label.data == number))[:, axis]
    least, most = along.min(), along.max()
    return least + share * (most - least) if low else most - share * (most - least)


def cropped(image: Image, axis: int, low: bool, plane: float) -> Image:
    """The part of an image on the far side of a plane; its axes must lie along the world's."""
    index_axis = int(np.abs(image.grid.affine[axis, :3]).argmax())
    at = image.grid.index_to_points(np.diag(np.array(image.data.shape) - 1)[index_axis][None] * [[0], [1]])[:, axis]
    places = np.linspace(at[0], at[1], image.data.shape[index_axis])
    keep = np.flatnonzero(places > plane if low else places < plane)
    start, stop = [0, 0, 0], list(image.data.shape)
    start[index_axis], stop[index_axis] = int(keep[0]), int(keep[-1]) + 1
    part = image.data[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    return Image(part, image.grid.crop(start, stop), image.name)


def beyond(grid: Grid, axis: int, low: bool, plane: float) -> np.ndarray:
    """The mask of what lies beyond a plane."""
    points = grid.points()[..., axis]
    return points <= plane if low else points >= plane


def compare(whole, result, axis: int, low: bool, plane: float) -> dict:
    """Distances between two transforms where the bone is left."""
    points = whole.fixed.grid.index_to_points(np.argwhere(whole.fixed.share > 0.5))
    there = whole.transform.apply(points)
    clear = there[:, axis] > plane + CLEAR if low else there[:, axis] < plane - CLEAR
    row = {}
    to_fixed, to_moving = (from_crop(v.share) for v in (whole.fixed, whole.moving))
    surface = clear & (np.abs(to_fixed[whole.fixed.share > 0.5]) < 1)
    for name, r in (("whole", whole), ("cut", result)):
        at = whole.moving.grid.points_to_index(r.transform.apply(points[surface]))
        misses = map_coordinates(to_moving, at.T, order=1) - to_fixed[whole.fixed.share > 0.5][surface]
        row[f"surface_{name}_mm"] = float(np.abs(misses).mean())
    for name in ("affine", "transform"):
        a, b = (getattr(r, name).apply(points[clear]) for r in (whole, result))
        distance = np.linalg.norm(a - b, axis=1)
        row |= {f"{name}_mean_mm": float(distance.mean()), f"{name}_p95_mm": float(np.quantile(distance, 0.95))}
    return row


def main() -> None:
    """Measure each pair and cut, and write a row as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", required=True, help="CSV as test.py reads it")
    parser.add_argument("--transform", default="deformable", help="as register.py's (default: %(default)s)")
    parser.add_argument("--refine", type=int, help="steps of refinement (default: as register.py)")
    parser.add_argument("--out", required=True, help="CSV to write")
    options = parser.parse_args()
    rows, model = [], load_engine(None)
    for pair in read_pairs(options.pairs):
        number = int(pair["label"]) if pair["label"] else None
        fixed = {"fixed": as_image(pair["fixed"]), "fixed_seg": as_label(pair["fixed_seg"]), "label": number}
        moving, label = as_image(pair["moving"]), as_label(pair["moving_seg"])
        common = {**fixed, "model": model, "refine": options.refine, "transform": options.transform}
        whole = acsgreg_tf.register(moving=moving, moving_seg=label, **common)
        held = whole.moving.number
        for name, (axis, low, share) in CUTS.items():
            plane = cut_plane(label, held, axis, low, share)
            gone = beyond(label.grid, axis, low, plane)
            holed = Image(np.where(gone, 0, label.data), label.grid, label.name)
            ways = {
                "edge of the scan": {
                    "moving": cropped(moving, axis, low, plane),
                    "moving_seg": cropped(label, axis, low, plane),
                },
                "ignored": {
                    "moving": moving,
                    "moving_seg": holed,
                    "moving_ignore": Image(gone.astype(np.uint8), label.grid, "gone"),
                },
                "not said": {"moving": moving, "moving_seg": holed},
            }
            for way, scans in ways.items():
                result = acsgreg_tf.register(**common, **scans)
                row = {"fixed": Path(pair["fixed"]).name, "moving": Path(pair["moving"]).name, "cut": name, "how": way}
                rows.append(row | compare(whole, result, axis, low, plane))
                print({k: round(v, 3) if isinstance(v, float) else v for k, v in rows[-1].items()}, flush=True)
                pandas.DataFrame(rows).to_csv(options.out, index=False)


if __name__ == "__main__":
    main()
