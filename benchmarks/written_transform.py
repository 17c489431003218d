"""Whether written transforms hold everywhere: folds and the inverse's error, on the vertebra's box and beyond it.

    python benchmarks/written_transform.py --pairs pairs.csv --refine 0 --out written.csv

Each pair's transform and its inverse are sampled on the box grown by 30 mm a side, with voxels of 1 mm and of 0.5 mm. A
fold is a cell with a non-positive determinant, of forward differences or of the ten of Liu et al. (IJCV 2024). The
inverse's error is |inverse(transform(p)) - p| over the voxels within 5 mm of the fixed vertebra and between them.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas

import acsgreg_tf
from acsgreg_tf import metrics
from acsgreg_tf.evaluation import read_pairs
from acsgreg_tf.evaluation.written import written_folds
from acsgreg_tf.registration import load_engine
from acsgreg_tf.registration.inverse_error import places_around


def measure(result) -> dict:
    """One pair's row."""
    row = {"dice": result.summary["dice"]["deformable"], "assd_mm": result.summary["assd_mm"]["deformable"]}
    for name, transform, box in (
        ("folds", result.transform, result.fixed.grid),
        ("inverse_folds", result.inverse, result.moving.grid),
    ):
        row |= {f"{name}_{spacing:g}mm": written_folds(transform, box, spacing).count for spacing in (1.0, 0.5)}
    points = result.fixed.grid.index_to_points(places_around(result.fixed.share > 0.5))
    error = metrics.target_registration_error(result.inverse.apply(result.transform.apply(points)), points)
    return row | {
        "inverse_mean_mm": error.mean(),
        "inverse_p99_mm": np.quantile(error, 0.99),
        "inverse_max_mm": error.max(),
    }


def main() -> None:
    """Measure each pair and write a row as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", required=True, help="CSV as test.py reads it")
    parser.add_argument("--refine", type=int, help="steps of refinement (default: as register.py)")
    parser.add_argument("--out", required=True, help="CSV to write")
    options = parser.parse_args()
    rows, model = [], load_engine(None)
    for pair in read_pairs(options.pairs):
        names = {name: pair[name] for name in ("fixed", "fixed_seg", "moving", "moving_seg")}
        number = int(pair["label"]) if pair["label"] else None
        begun = time.perf_counter()
        result = acsgreg_tf.register(**names, label=number, model=model, refine=options.refine)
        row = {"fixed": Path(pair["fixed"]).name, "moving": Path(pair["moving"]).name, "level": pair["level"]}
        rows.append(row | measure(result) | {"seconds": time.perf_counter() - begun})
        print({k: round(v, 4) if isinstance(v, float) else v for k, v in rows[-1].items()}, flush=True)
        pandas.DataFrame(rows).to_csv(options.out, index=False)


if __name__ == "__main__":
    main()
