"""Build a set of pairs to measure on from a table of people and their scans: every ordered pair at each level.

The table (people.csv) has the columns person, side (train or test) and files (globs), and optionally levels and ct;
docs/guide/evaluate.md describes them. Levels without a CT get simulated intensities; pairs of two real CTs are
marked."""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from acsgreg_tf.cli import common

_EXAMPLES = """  acsgreg test-set --data scans/ --out work
the pairs to choose settings by
  acsgreg test-set --data scans/ --people people.csv --side train --out work
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 for a fault in the input)."""
    return common.run(_build, parser(), arguments)


def parser() -> common.Parser:
    """The parser of all options."""
    parser = common.Parser("test-set", __doc__, _EXAMPLES)
    parser.add_argument("--data", required=True, metavar="DIR", help="folder with the scans, at any depth")
    parser.add_argument("--people", metavar="CSV", help="the table of people (default: people.csv in --data)")
    parser.add_argument(
        "--side",
        nargs="+",
        choices=("test", "train"),
        default=["test"],
        help="whose pairs: test, train (to choose settings by), or both, people of one side with those of the other "
        "too (default: test)",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="work folder: vertebrae/, vertebrae.csv, pairs.csv")
    return parser


def _build(options: argparse.Namespace) -> None:
    from acsgreg_tf.cohort.test_set import PAIRS, SetVertebra, build_set, set_pairs

    def progress(vertebra: SetVertebra) -> None:
        state = f"{vertebra.kind}{', parts' if vertebra.parts else ''}" if vertebra.image else f"not ({vertebra.notes})"
        print(f"{vertebra.person} {vertebra.level}: {state}", flush=True)

    vertebrae = build_set(options.data, options.out, options.side, options.people, progress)
    pairs = set_pairs(vertebrae)
    levels = Counter(fixed.level for fixed, _ in pairs)
    real = sum(fixed.kind == moving.kind == "real" for fixed, moving in pairs)
    parts = sum(bool(fixed.parts and moving.parts) for fixed, moving in pairs)
    numbers = ", ".join(f"{level} {count}" for level, count in levels.items())
    print(f"{len(pairs)} ordered pairs ({numbers}): {real} of two real CTs, {parts} with parts on both sides")
    print(f"measure them: python scripts/test.py --pairs {Path(options.out) / PAIRS} --out results.csv")
