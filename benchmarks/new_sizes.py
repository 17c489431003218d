"""Seconds of a registration in a running process, of pairs of new sizes and of the same pairs again.

    python benchmarks/new_sizes.py --pairs pairs.csv --refine 50 --count 6

One process; the list's first pair is registered once before anything is timed, then pairs spread over the list, each
twice in a row. A ratio of 1 says that nothing is compiled for a new size.
"""

import argparse
import os
import time
import warnings

import numpy as np

import acsgreg_tf
from acsgreg_tf.evaluation import read_pairs
from acsgreg_tf.evaluation.pairs import pair_labels
from acsgreg_tf.registration import load_engine


def main() -> None:
    """Register, and print a line a pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", required=True, metavar="CSV", help="list of pairs, as for scripts/test.py")
    parser.add_argument("--refine", type=int, default=50, help="steps of refinement (default: %(default)s)")
    parser.add_argument("--count", type=int, default=6, help="pairs (default: %(default)s)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    pairs, engine = read_pairs(options.pairs), load_engine(None)
    chosen = [pairs[i] for i in np.linspace(0, len(pairs) - 1, options.count + 1).astype(int)]

    def seconds(pair: dict[str, str]) -> float:
        labels = dict(zip(("fixed_seg", "moving_seg"), pair_labels(pair), strict=True))
        begun = time.perf_counter()
        acsgreg_tf.register(pair["fixed"], pair["moving"], **labels, model=engine, refine=options.refine)
        return time.perf_counter() - begun

    seconds(chosen[0])
    ratios = []
    for pair in chosen[1:]:
        new, again = seconds(pair), seconds(pair)
        ratios.append(new / again)
        names = f"{os.path.basename(pair['moving'])} to {os.path.basename(pair['fixed'])}"
        print(f"{names}: {new:.1f} s, again {again:.1f} s", flush=True)
    print(f"ratio {np.mean(ratios):.2f} on average, {max(ratios):.2f} at most; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
