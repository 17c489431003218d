"""The options of prepare.py and generate.py that say who is tested, and the files that follow from them."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from acsgreg_tf.cohort.manifest import Sample, usable
from acsgreg_tf.cohort.pairs import ordered_pairs, write_pairs
from acsgreg_tf.cohort.split import KINDS, check_numbers, make_split, write_split


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `write` reads them, and the command's own --seed."""
    split = parser.add_argument_group("split (written beside the manifest, with the pairs to test)")
    split.add_argument(
        "--split",
        choices=KINDS,
        help="who is tested: drawn at each level (the paper's), or by person, whose levels all stay on one side",
    )
    split.add_argument(
        "--test-per-level", type=int, default=10, metavar="N", help="people tested at each level (default: 10)"
    )
    split.add_argument(
        "--val-per-level",
        type=int,
        default=0,
        metavar="N",
        help="people held out to choose the best network (default: 0)",
    )
    split.add_argument("--include-cut", action="store_true", help="use vertebrae that are not whole, too")


def check(options: argparse.Namespace) -> None:
    """Raise InputError for numbers that no samples allow: a cohort is hours of work."""
    if options.split:
        check_numbers(options.split, options.test_per_level, options.val_per_level, options.seed)


def write(options: argparse.Namespace, samples: Sequence[Sample], manifest: Path) -> None:
    """Write the split of a cohort and its test pairs beside the manifest, if --split asks for one.

    Args:
        options: The parsed options.
        samples: Of the manifest.
        manifest: Its path.

    Raises:
        InputError: Numbers that the samples do not allow, or a folder that cannot be written.
    """
    if not options.split:
        return
    split = make_split(
        usable(samples, options.include_cut), options.split, options.test_per_level, options.val_per_level, options.seed
    )
    path, pairs = (
        manifest.parent / name for name in (f"split-{options.split}.json", f"test-pairs-{options.split}.csv")
    )
    write_split(path, split, manifest)
    write_pairs(pairs, ordered_pairs(split.test))
    sizes = ", ".join(
        f"{part.replace('_', ' ')} {len(getattr(split, part))}" for part in ("train", "val", "test", "left_out")
    )
    print(f"{path}: {sizes}")
    print(f"{pairs}: {len(ordered_pairs(split.test))} ordered pairs")
