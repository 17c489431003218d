"""Memory of one process that registers again and again: it must not grow with the number of registrations.

    python benchmarks/memory.py --registrations 200 --refine 0
    python benchmarks/memory.py --registrations 40 --refine 10 --pairs pairs.csv

Takes the pairs of a list (columns fixed, fixed_seg, moving, moving_seg and level or label; default: the sample pair of
data/, both ways) in turn, and prints the resident memory after 1, 2, 5, 10, 20, 40, ... registrations and its peak.
"""

import argparse
import gc
import resource
import time
from pathlib import Path

import acsgreg_tf
from acsgreg_tf.registration import load_engine

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "sample"
REPORTED = (1, 2, 5, 10, 20, 40, 60, 80, 100, 120, 140, 160, 180, 200)


def sample_pairs() -> list[dict]:
    """The pair of data/sample, one onto the other and back."""
    names = [{side: str(SAMPLE / f"g3-0000{number}-L3_{side}.nii.gz") for side in ("ct", "seg")} for number in range(2)]
    return [
        {"fixed": a["ct"], "fixed_seg": a["seg"], "moving": b["ct"], "moving_seg": b["seg"]}
        for a, b in (names, names[::-1])
    ]


def listed_pairs(path: str) -> list[dict]:
    """The pairs of a list, each with the label maps that `test.py` compares."""
    from acsgreg_tf.evaluation import read_pairs
    from acsgreg_tf.evaluation.pairs import pair_labels

    pairs = []
    for pair in read_pairs(path):
        fixed, moving = pair_labels(pair)
        pairs.append({"fixed": pair["fixed"], "fixed_seg": fixed, "moving": pair["moving"], "moving_seg": moving})
    return pairs


def resident_mb() -> float:
    """Resident memory now, MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def main() -> None:
    """Register, and print a line now and then."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--registrations", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--refine", type=int, help="steps of refinement (default: as register.py)")
    parser.add_argument("--pairs", metavar="CSV", help="list of pairs, as for scripts/test.py")
    options = parser.parse_args()
    pairs = listed_pairs(options.pairs) if options.pairs else sample_pairs()
    network, began = load_engine(None), time.monotonic()
    print(f"with the network loaded: {resident_mb():.0f} MB")
    for number in range(1, options.registrations + 1):
        pair = pairs[(number - 1) % len(pairs)]
        acsgreg_tf.register(**pair, model=network, refine=options.refine)
        if number in REPORTED or number == options.registrations:
            gc.collect()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
            seconds = time.monotonic() - began
            print(f"after {number}: {resident_mb():.0f} MB, peak {peak:.0f} MB, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
