"""Seconds and memory of one registration from the command line, against another commit, in one run.

    python benchmarks/cold.py --before 29df472 --repeat 2

The README's first command, as it is and with --refine, each in a process of its own, the two commits in turns. The
other commit is checked out to a temporary folder and runs in this environment. Seconds are wall time of the whole
process, all outputs written; the first run of each is not counted where --repeat is above 1 (it may fill caches). With
--first, caches are emptied before every run: the first run ever on a machine.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data" / "sample"


def command(checkout: Path, out: Path, refine: str) -> list[str]:
    """The README's first command, all outputs written."""
    sides = [
        (f"--{side}{option}", str(SAMPLE / f"g3-0000{number}-L3_{kind}.nii.gz"))
        for number, side in enumerate(("fixed", "moving"))
        for option, kind in (("", "ct"), ("-seg", "seg"))
    ]
    names = {
        "--moved": "moved.nii.gz",
        "--moved-seg": "moved_seg.nii.gz",
        "--warp": "warp.h5",
        "--inverse-warp": "inverse.h5",
        "--affine": "affine.tfm",
        "--metrics": "metrics.json",
        "--figure": "figure.png",
    }
    outputs = [(option, str(out / name)) for option, name in names.items()]
    script = str(checkout / "scripts" / "register.py")
    more = {"default": [], "full": ["--refine"]}.get(refine, ["--refine", refine])
    return [sys.executable, script, *(word for pair in (*sides, *outputs) for word in pair), *more]


def run(checkout: Path, refine: str, cache: Path) -> tuple[float, float, float]:
    """(wall seconds, processor seconds, peak MB) of one command."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "ACSGREG_CACHE": str(cache / "acsgreg")}
    environment["NUMBA_CACHE_DIR"] = str(cache / "numba")
    with tempfile.TemporaryDirectory() as out:
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        process = subprocess.Popen(
            command(checkout, Path(out), refine), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        if status:
            raise SystemExit(process.stderr.read().decode())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, usage.ru_maxrss / 1024


def main() -> None:
    """Run both commits in turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", required=True, metavar="COMMIT", help="what to compare with")
    parser.add_argument("--repeat", type=int, default=2, help="times each (default: %(default)s)")
    parser.add_argument(
        "--refine",
        nargs="+",
        default=["default", "full"],
        metavar="N",
        help="steps; default: each commit's own, full: --refine without a number (default: default full)",
    )
    parser.add_argument("--first", action="store_true", help="empty the caches before every run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        other, cache = Path(folder) / "before", Path(folder) / "cache"
        subprocess.run(["git", "-C", ROOT, "worktree", "add", "--detach", "-f", other, options.before], check=True)
        try:
            for refine in options.refine:
                taken: dict[str, list[tuple[float, float, float]]] = {"before": [], "now": []}
                for _ in range(options.repeat):
                    for name, checkout in (("before", other), ("now", ROOT)):
                        if options.first:
                            shutil.rmtree(cache, ignore_errors=True)
                        taken[name].append(run(checkout, refine, cache))
                counted = {name: runs[1:] or runs if not options.first else runs for name, runs in taken.items()}
                means = {name: [statistics.mean(column) for column in zip(*runs)] for name, runs in counted.items()}
                print(f"refine {refine}, load {os.getloadavg()[0]:.1f}")
                for name, (wall, cpu, peak) in means.items():
                    print(f"  {name:7}{wall:7.1f} s wall {cpu:7.1f} s of processors {peak:7.0f} MB")
                ratios = [a / b for a, b in zip(means["now"], means["before"])]
                print(f"  ratio  {ratios[0]:7.2f}   {ratios[1]:14.2f}   {ratios[2]:17.2f}")
        finally:
            subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", other], check=False)


if __name__ == "__main__":
    main()
