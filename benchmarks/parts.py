"""How well a refinement lays parts on parts, by the weight that they have in it: python benchmarks/parts.py pairs.csv.

Of a list of pairs (`test_set.py --side train` makes one) those are measured that have parts on both sides. Weight 0 is
a refinement that does not see them.
"""

import argparse
from pathlib import Path

import numpy as np

from acsgreg_tf import evaluation
from acsgreg_tf.evaluation import RegisterMethod

COLUMNS = ("dice_deformable", "assd_mm_deformable", "dice_parts", "centre_mm_parts", "assd_mm_parts", "seconds")


def main() -> None:
    """Measure each weight and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", metavar="CSV")
    parser.add_argument("--weights", type=float, nargs="+", default=[0.0, 0.25, 0.5, 1.0, 3.0])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--model", default="", help="default: the network that comes with the package")
    parser.add_argument("--out", required=True, metavar="CSV", help="a row a pair; a second run does what is missing")
    options = parser.parse_args()
    pairs = [pair for pair in evaluation.read_pairs(options.pairs) if pair.get("fixed_parts")]
    methods = [RegisterMethod(options.model, name="default")]
    for weight in options.weights:
        chosen = (("refine", options.steps), ("parts_weight", weight))
        methods.append(RegisterMethod(options.model, chosen, f"weight {weight:g}", with_parts=True))
    rows = evaluation.evaluate(methods, pairs, Path(options.out))
    names = ("", "Dice", "ASSD mm", "parts: Dice", "centres mm", "ASSD mm", "s")
    print(f"{len(pairs)} pairs\n\n| {' | '.join(names)} |\n{'|---' * len(names)}|")
    for method in methods:
        own = [[float(row[name]) for name in COLUMNS] for row in rows if row["method"] == method.name]
        cells = (f"{value:.{places}f}" for value, places in zip(np.mean(own, axis=0), (3, 3, 3, 2, 2, 0), strict=True))
        print(f"| {method.name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
