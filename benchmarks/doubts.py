"""How often a registration is doubted: false alarms on pairs that are right, and what is noticed of pairs that are not.

    python benchmarks/doubts.py --pairs pairs.csv --out doubts.csv
    python benchmarks/doubts.py --pairs pairs.csv --spoil --out spoiled.csv
    python benchmarks/doubts.py --pairs pairs.csv --limits --out limits.csv

Without --spoil each pair is registered as it is, and every flag is a false alarm. With it each pair's moving scan is
spoiled in all the ways of `SPOILED`, and a row without a flag is a fault that went unnoticed. With --limits nothing is
registered: the numbers that limits are set on are written.
"""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas

import acsgreg_tf
from acsgreg_tf.anatomy.plausibility import body_ahead
from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation import read_pairs
from acsgreg_tf.geometry import NETWORK_SHAPE, Grid
from acsgreg_tf.io.images import Image, as_image, as_label
from acsgreg_tf.registration import Scan, Selection, load_engine, select
from acsgreg_tf.registration.doubts import FLIPS, coarse_misfit
from acsgreg_tf.registration.prepare import prepare

Pair = tuple[Image, Image]


def regridded(change: np.ndarray) -> Callable[[Pair], Pair]:
    """A scan whose header is changed: world coordinates are multiplied by a matrix (3, 3) about the grid's centre."""

    def spoil(pair: Pair) -> Pair:
        matrix = np.eye(4)
        centre = pair[1].grid.center
        matrix[:3, :3], matrix[:3, 3] = change, centre - change @ centre
        return tuple(Image(i.data, Grid(i.data.shape, matrix @ i.grid.affine), i.name) for i in pair)

    return spoil


def half_label(axis: int) -> Callable[[Pair], Pair]:
    """A label of which half is missing, in the middle of its scan."""

    def spoil(pair: Pair) -> Pair:
        image, label = pair
        along = label.grid.index_to_points(np.argwhere(label.data > 0))[:, axis]
        gone = label.grid.points()[..., axis] < (along.min() + along.max()) / 2
        return image, Image(np.where(gone, 0, label.data), label.grid, label.name)

    return spoil


def plate(pair: Pair) -> Pair:
    """A label that is a plate of 50 x 50 x 2 voxels."""
    image, label = pair
    data = np.zeros_like(label.data)
    x, y, z = (int(i) for i in np.argwhere(label.data > 0).mean(axis=0))
    data[max(x - 25, 0) : x + 25, max(y - 25, 0) : y + 25, z : z + 2] = label.data.max()
    return image, Image(data, label.grid, label.name)


def brighter(pair: Pair) -> Pair:
    """HU with an offset of 1024."""
    return Image(pair[0].data + 1024.0, pair[0].grid, pair[0].name), pair[1]


SPOILED: dict[str, Callable[[Pair], Pair]] = {
    "half the label (left)": half_label(0),
    "half the label (back)": half_label(1),
    "half the label (bottom)": half_label(2),
    "upside down": regridded(np.diag([1.0, 1.0, -1.0])),
    "turned by 180 degrees": regridded(np.diag([-1.0, -1.0, 1.0])),
    "front to back": regridded(np.diag([1.0, -1.0, 1.0])),
    "mirrored": regridded(np.diag([-1.0, 1.0, 1.0])),
    "spacing halved": regridded(np.eye(3) / 2),
    "a tenth of the spacing": regridded(np.eye(3) / 10),
    "HU + 1024": brighter,
    "a plate": plate,
}


def flags_of(fixed: Pair, moving: Pair, number: int | None, **options: object) -> dict:
    """Dice and flags of one registration; an input that is refused counts as noticed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = acsgreg_tf.register(
                fixed[0], moving[0], fixed_seg=fixed[1], moving_seg=moving[1], label=number, **options
            )
    except InputError as error:
        return {"dice": float("nan"), "flags": f"refused: {error}"}
    names = " ".join(flag["name"] for flag in result.summary["flags"])
    return {"dice": result.summary["dice"]["deformable"], "flags": names}


def numbers_of(fixed: Pair, moving: Pair, number: int | None) -> dict:
    """Of both vertebrae the volume, the extents and where the body lies; of the pair its misfits, also flipped."""
    scans = select(Scan(*fixed), Scan(*moving), Selection(label=number))
    pair, row = prepare(*scans, NETWORK_SHAPE), {}
    for side, vertebra in (("fixed", pair.fixed), ("moving", pair.moving)):
        mask = vertebra.share > 0.5
        held = np.argwhere(mask)
        row[f"{side}_ml"] = len(held) / 1000
        row |= dict(zip((f"{side}_{axis}_mm" for axis in "xyz"), np.ptp(held, axis=0) + 1, strict=True))
        row[f"{side}_body_ahead_mm"] = body_ahead(mask)
    flips = {"as it is": (1, 1, 1), "left to right": (-1, 1, 1), **FLIPS}
    return row | {f"misfit {name} mm2": coarse_misfit(pair, flip) for name, flip in flips.items()}


def main() -> None:
    """Register each pair, as it is or spoiled, and write a row as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", required=True, help="CSV as test.py reads it")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--spoil", action="store_true", help="spoil each pair's moving scan in every way")
    what.add_argument("--limits", action="store_true", help="write what limits are set on, and register nothing")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th pair (default: all)")
    parser.add_argument("--out", required=True, help="CSV to write")
    options = parser.parse_args()
    rows, model = [], load_engine(None)
    for pair in read_pairs(options.pairs)[:: options.every]:
        number = int(pair["label"]) if pair["label"] else None
        fixed = as_image(pair["fixed"]), as_label(pair["fixed_seg"])
        moving = as_image(pair["moving"]), as_label(pair["moving_seg"])
        if options.limits:
            rows.append({"moving": Path(pair["moving"]).name} | numbers_of(fixed, moving, number))
            continue
        ways = SPOILED if options.spoil else {"as it is": lambda scans: scans}
        for way, spoil in ways.items():
            row = {"fixed": Path(pair["fixed"]).name, "moving": Path(pair["moving"]).name, "way": way}
            rows.append(row | flags_of(fixed, spoil(moving), number, model=model))
            print(rows[-1], flush=True)
            pandas.DataFrame(rows).to_csv(options.out, index=False)
    if options.limits:
        table = pandas.DataFrame(rows)
        table.to_csv(options.out, index=False)
        print(table.describe().loc[["min", "max"]].round(1).T.to_string())
    else:
        print(f"{sum(bool(row['flags']) for row in rows)} of {len(rows)} flagged")


if __name__ == "__main__":
    main()
