"""Settings of another registration tool compared on a list of pairs, to choose those that `test.py --method` runs.

    python benchmarks/tune_peers.py --pairs train_pairs.csv --peer greedy --out tune.csv \
        --set "smoothing=(1.0, 0.5)" --set "smoothing=(0.8, 0.4)" --set "smoothing=(0.7, 0.3) options='-sv'"

A setting is one or more fields of the peer (see its class in `acsgreg_tf/evaluation/peers/`) with Python values. Of
the settings whose mean share of folds is under --folds percent, the one with the highest Dice is named last. The pairs
must be of training people. A second run does what is missing.
"""

import argparse
import ast
import re
from dataclasses import replace
from typing import Any

import numpy as np

from acsgreg_tf.evaluation import evaluate, markdown, read_pairs
from acsgreg_tf.evaluation.peers import peer

SHOWN = {
    "dice_affine": 3,
    "dice_deformable": 4,
    "assd_mm_deformable": 3,
    "folds_percent": 4,
    "std_log_jacobian": 3,
    "inverse_error_mm": 3,
    "seconds": 0,
}


def fields_of(text: str) -> dict[str, Any]:
    """{"smoothing": (0.8, 0.4)} of "smoothing=(0.8, 0.4)"; several are separated by spaces."""
    names = list(re.finditer(r"(?:^|\s)([a-z_]+)=", text))
    ends = [*(match.start() for match in names[1:]), len(text)]
    return {m[1]: ast.literal_eval(text[m.end() : end].strip()) for m, end in zip(names, ends)}


def main() -> None:
    """Measure each setting and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", required=True, help="CSV as test.py reads it, of training people")
    parser.add_argument("--peer", required=True, help="its name, as in test.py --method")
    parser.add_argument("--set", action="append", default=[], help="a setting; may be given several times")
    parser.add_argument("--folds", type=float, default=0.01, help="percent that a setting may have (default: 0.01)")
    parser.add_argument("--out", required=True, help="CSV to write, a row a pair and setting")
    options = parser.parse_args()
    tool, pairs = peer(options.peer), read_pairs(options.pairs)
    lines, means = [], {}
    for text in options.set or [""]:
        name = f"{tool.name} {text}".strip()
        rows = evaluate([replace(tool, **fields_of(text), name=name)], pairs, options.out)
        good = [row for row in rows if not row["fault"]]
        mean = {column: np.mean([row[column] for row in good]) for column in SHOWN}
        if mean["folds_percent"] < options.folds:
            means[name] = mean["dice_deformable"]
        lines.append([name, f"{len(good)} of {len(rows)}", *(f"{mean[c]:.{digits}f}" for c, digits in SHOWN.items())])
        print(" ".join(lines[-1]), flush=True)
    print(markdown(["setting", "pairs", *SHOWN], lines))
    print(f"best under {options.folds} % folds: {max(means, key=lambda name: means[name]) if means else 'none'}")


if __name__ == "__main__":
    main()
