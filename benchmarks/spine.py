"""Time and memory of a whole spine beside those of one level, in one process.

    python benchmarks/spine.py --fixed-seg a_seg.nii.gz --moving-seg b_seg.nii.gz --levels L1,L2,L3,L4,L5
    python benchmarks/spine.py --fixed-seg a_seg.nii.gz --moving-seg b_seg.nii.gz --whole-ct 512,512,300

Registers one level alone twice (the first time compiles), then each level alone, then all as one spine, as register.py
does by default, and prints the seconds of each, their ratios to one level, how far the spine is from each level's own
transform, and the peak of resident memory.
Without --fixed and --moving the label maps stand for the scans; --whole-ct makes both scans as large as a CT.
"""

import argparse
import json
import resource
import time
import warnings

import numpy as np

from acsgreg_tf.geometry import Grid, resample
from acsgreg_tf.io.images import Image, as_label
from acsgreg_tf.registration import Options, Scan, Selection, load_engine, read_scan, register, select, shared_levels
from acsgreg_tf.spine import register_spine

CT_SPACING = (0.7, 0.7, 1.0)


def whole_ct(path: str, shape: list[int]) -> Scan:
    """A scan of a shape whose middle is that of a label map: its labels, and bone of 400 HU in soft tissue."""
    label = as_label(path)
    middle = label.grid.index_to_points(np.argwhere(label.data > 0).mean(axis=0))
    affine = np.diag([*CT_SPACING, 1.0])
    affine[:3, 3] = middle - np.array(CT_SPACING) * (np.array(shape) - 1) / 2
    grid = Grid(tuple(shape), affine)
    data = resample(label.data, label.grid, grid, order=0)
    return Scan(Image(np.where(data > 0, 400, 40).astype(np.float32), grid, path), Image(data, grid, path))


def peak_mb() -> float:
    """Peak of resident memory so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for side in ("fixed", "moving"):
        parser.add_argument(f"--{side}", help="its CT")
        parser.add_argument(f"--{side}-seg", required=True, help="its label map")
    parser.add_argument("--levels", default="all", help="default: all that both hold")
    parser.add_argument("--table", default="verse")
    parser.add_argument("--moving-table")
    parser.add_argument("--whole-ct", metavar="X,Y,Z", help="voxels of the scans that are made up")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.whole_ct:
        shape = [int(side) for side in options.whole_ct.split(",")]
        sides = whole_ct(options.fixed_seg, shape), whole_ct(options.moving_seg, shape)
    else:
        sides = read_scan(options.fixed, options.fixed_seg), read_scan(options.moving, options.moving_seg)
    selection = Selection(table=options.table, moving_table=options.moving_table)
    levels = shared_levels(options.levels, *sides, selection)
    network = load_engine(None)
    print(f"read, network loaded: peak {peak_mb():.0f} MB", flush=True)
    level = levels[len(levels) // 2]
    chosen = Selection(level=level, table=options.table, moving_table=options.moving_table)
    for what in ("first", "again"):
        begun, worked = time.perf_counter(), time.process_time()
        register(*select(*sides, chosen), model=network)
        one, one_cpu = time.perf_counter() - begun, time.process_time() - worked
        print(f"{level} alone, {what}: {one:.1f} s, {one_cpu:.1f} s of CPU, peak {peak_mb():.0f} MB", flush=True)
    begun = time.perf_counter()
    for name in levels:
        chosen = Selection(level=name, table=options.table, moving_table=options.moving_table)
        register(*select(*sides, chosen), model=network)
    each = time.perf_counter() - begun
    print(f"{len(levels)} levels, each alone: {each:.1f} s, {each / one:.1f} times one level", flush=True)
    begun, worked = time.perf_counter(), time.process_time()
    result = register_spine(*sides, levels, selection, network=network, options=Options())
    spine, spine_cpu = time.perf_counter() - begun, time.process_time() - worked
    print(f"{len(levels)} levels as one spine: {spine:.1f} s, {spine_cpu:.1f} s of CPU, peak {peak_mb():.0f} MB")
    print(f"that is {spine / one:.1f} times one level, {spine_cpu / one_cpu:.1f} times its CPU")
    for name, own in result.summary["levels"].items():
        loss = own["dice"]["own"] - own["dice"]["spine"]
        print(f"{name}: {own['difference_mm']:.3f} mm from its own transform, Dice less {loss:.4f}")
    print(json.dumps({key: result.summary[key] for key in ("folds", "overlap_ml", "seconds", "steps")}))
    print(f"inverse: {result.summary['inverse_error_mm']:.3f} mm, most {result.summary['inverse_error_max_mm']:.2f} mm")


if __name__ == "__main__":
    main()
