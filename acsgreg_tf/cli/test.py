"""Measure a network on a list of pairs: Dice, precision, recall, ASSD and folds at each stage, by level."""

import sys

from tqdm import tqdm

from acsgreg_tf.cli import common


def main(arguments=None):
    """Run the command line; returns the exit code (2 for a fault in the input)."""
    return common.run(_test, _parser(), arguments)


def _parser():
    parser = common.Parser(prog="test.py", description=__doc__)
    parser.add_argument("--model", metavar="H5", help="network; default: the one that comes with the package")
    pairs = parser.add_mutually_exclusive_group(required=True)
    pairs.add_argument(
        "--pairs", metavar="CSV", help="columns fixed, fixed_seg, moving, moving_seg[, level, label]; paths relative to the file"
    )
    pairs.add_argument("--split", metavar="JSON", help="all ordered pairs of the test samples of this split (prepare.py --split)")
    parser.add_argument("--out", required=True, metavar="CSV", help="a row a pair; a second run does what is missing")
    parser.add_argument("--json", metavar="OUT", help="means and standard deviations by level")
    common.add_gpu(parser)
    return parser


def _test(options):
    from acsgreg_tf import evaluation

    pairs = evaluation.split_pairs(options.split) if options.split else evaluation.read_pairs(options.pairs)
    common.check_outputs(
        {"--out": options.out, "--json": options.json}, [options.pairs, options.split, options.model]
    )
    common.start_tensorflow(options.gpu)
    with tqdm(total=len(pairs), unit="pair", disable=None) as bar:

        def progress(row):
            bar.update()
            if row["fault"]:
                tqdm.write(f"warning: {row['fault']}", file=sys.stderr)

        rows = evaluation.evaluate(options.model, pairs, options.out, progress)
    summary = evaluation.summarise(rows)
    print(evaluation.table(summary))
    faults = sum(bool(row["fault"]) for row in rows)
    if faults:
        print(f"{faults} of {len(rows)} pairs failed; their reasons are in {options.out}")
    if options.json:
        evaluation.write_summary(options.json, summary)
