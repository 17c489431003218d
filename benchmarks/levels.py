"""Seconds and memory of `register.py --levels` beside those of one level, each a process of its own, in turns.

    python benchmarks/levels.py --levels L1,L2,L3,L4,L5 --one L3 --repeat 2 -- \
        --fixed a_ct.nii.gz --fixed-seg a_seg.nii.gz --moving b_ct.nii.gz --moving-seg b_seg.nii.gz

What follows the two dashes goes to register.py as it is; the moved CT and label map, the warp and the metrics are
written. The first run of each is not counted where --repeat is above 1 (it may fill caches).
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "register.py"
OUTPUTS = {"moved": "moved.nii.gz", "moved-seg": "moved_seg.nii.gz", "warp": "warp.h5", "metrics": "metrics.json"}


def run(scans: list[str], *which: str) -> tuple[float, float, float]:
    """(wall seconds, processor seconds, peak MB) of one command."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = [word for name, file in OUTPUTS.items() for word in (f"--{name}", str(Path(folder) / file))]
        begun = time.perf_counter()
        command = [sys.executable, str(SCRIPT), *scans, *which, *outputs]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Run one level and several in turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--levels", default="all", help="default: %(default)s")
    parser.add_argument("--one", default="L3", help="the level that is registered alone (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=2, help="times each (default: %(default)s)")
    parser.add_argument("scans", nargs="+", help="options for register.py, after --")
    options = parser.parse_args()
    kinds = {"one": ("--level", options.one), "levels": ("--levels", options.levels)}
    taken: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in kinds}
    for _ in range(options.repeat):
        for kind, which in kinds.items():
            taken[kind].append(run(options.scans, *which))
    print(f"{'':24}{'wall s':>10}{'processor s':>14}{'peak MB':>10}")
    wall = {}
    for kind, rows in taken.items():
        seconds, processor, peak = (statistics.mean(column) for column in zip(*rows[len(rows) > 1 :], strict=True))
        wall[kind] = seconds
        print(f"{' '.join(kinds[kind]):24}{seconds:10.1f}{processor:14.1f}{peak:10.0f}")
    print(f"{wall['levels'] / wall['one']:.1f} times one level")


if __name__ == "__main__":
    main()
