"""Pairs an hour of `register.py --pairs`, for lists of several lengths: it must not fall with the length.

    python benchmarks/throughput.py --lengths 10 100 500 --jobs 1 2

The ordered pairs of the generated vertebrae in data/cohort (a CT of 2 mm voxels or so each), repeated where the list is
longer; every pair writes its moved image, label, transform and metrics. Seconds are wall time of the whole command.
"""

import argparse
import csv
import itertools
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def pairs() -> list[dict[str, str]]:
    """The ordered pairs of one level, level after level."""
    by_level: dict[str, list[str]] = {}
    for path in sorted((ROOT / "data" / "cohort").glob("*_ct.nii.gz")):
        level = re.search(r"-(L\d)_", path.name)
        if level:
            by_level.setdefault(level[1], []).append(str(path))
    return [
        {
            "fixed": fixed,
            "fixed_seg": fixed.replace("_ct", "_seg"),
            "moving": moving,
            "moving_seg": moving.replace("_ct", "_seg"),
            "level": level,
        }
        for level, paths in by_level.items()
        for fixed, moving in itertools.permutations(paths, 2)
    ]


def main() -> None:
    """Register lists of each length, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[10, 100, 500], help="default: 10 100 500")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2], help="default: 1 2")
    options = parser.parse_args()
    all_pairs = pairs()
    for length, jobs in itertools.product(options.lengths, options.jobs):
        with tempfile.TemporaryDirectory() as folder:
            with open(Path(folder) / "pairs.csv", "w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, ["id", *all_pairs[0]])
                writer.writeheader()
                writer.writerows({"id": f"p{i}", **all_pairs[i % len(all_pairs)]} for i in range(length))
            script = [sys.executable, str(ROOT / "scripts" / "register.py"), "--jobs", str(jobs)]
            began = time.perf_counter()
            subprocess.run([*script, "--pairs", f"{folder}/pairs.csv", "--out", f"{folder}/out"], check=True)
            seconds = time.perf_counter() - began
            size = sum(file.stat().st_size for file in Path(folder, "out").rglob("*")) / 1e6
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        rate = 3600 * length / seconds
        print(
            f"{length} pairs, {jobs} at a time: {seconds:.0f} s, {rate:.0f} an hour, {size / length:.1f} MB each",
            end="; ",
        )
        print(f"largest process so far {peak:.0f} MB; load {os.getloadavg()[0]:.1f}", flush=True)


if __name__ == "__main__":
    main()
