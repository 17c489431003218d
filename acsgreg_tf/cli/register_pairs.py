"""register.py --pairs: many registrations from a table."""

import argparse
import os
import sys

from tqdm import tqdm

from acsgreg_tf.cli import common, terminal
from acsgreg_tf.errors import InputError
from acsgreg_tf.registration import NO_MODEL
from acsgreg_tf.registration.batch import TABLE, Recipe, failed, run_jobs, table_of
from acsgreg_tf.registration.jobs import DEFAULT_OUTPUTS, read_jobs
from acsgreg_tf.registration.outputs import ENDINGS

# Exit code where a pair failed; the others are done.
SOME_FAILED = 1

_OF_THE_LIST = ("fixed", "moving", "fixed_seg", "moving_seg", "fixed_ignore", "moving_ignore", "label", "level")
_OF_ONE = (
    *("levels", "moving_label", "report", "bids", "parts_weight", "spine", "poses", "jacobian"),
    *("fixed_parts", "moving_parts", "fixed_points", "moving_points"),
)


def add_options(parser: common.Parser) -> None:
    """The options of a batch."""
    group = parser.add_argument_group("many pairs", "in place of --fixed, --moving; a second run does what is missing")
    group.add_argument(
        "--pairs",
        metavar="CSV",
        help="columns fixed, moving[, fixed_seg, moving_seg, fixed_ignore, moving_ignore, level, label, id]; paths "
        "relative to the file",
    )
    group.add_argument(
        "--out",
        metavar="DIR",
        help=f"folder of the outputs, and of {TABLE}, a row a pair. Outputs such as --moved are then names in it, in "
        "which {id} and the list's columns stand for their values; those that are named take the place of the default "
        f"ones, {', '.join(DEFAULT_OUTPUTS.values())}",
    )
    group.add_argument("--jobs", type=int, default=1, metavar="N", help="pairs worked on side by side (default: 1)")
    common.add_dask(group)


def run_pairs(options: argparse.Namespace) -> int:
    """Register the pairs of a list.

    Returns:
        The exit code: `SOME_FAILED` where a pair failed, else as for one pair.
    """
    _check(options)
    common.make_absolute(options, ["pairs", "out"])
    templates = {name: getattr(options, name) for name in ENDINGS if getattr(options, name) is not None}
    jobs = read_jobs(options.pairs, options.out, templates or DEFAULT_OUTPUTS)
    model = options.model or ""
    recipe = Recipe(
        model if model in ("", NO_MODEL) else os.path.abspath(model),
        options.engine if model == NO_MODEL else common.start_engine(options),
        options.fit_affine,
        options.refine,
        options.smoothness,
        options.transform,
        options.table,
        options.moving_table,
    )
    with terminal.bar(len(jobs), "pair") as bar:

        def progress(row: dict) -> None:
            bar.update()
            for kind in ("fault", "warnings"):
                if row[kind]:
                    tqdm.write(f"{terminal.label('warning', sys.stderr)} {row['id']}: {row[kind]}", file=sys.stderr)

        rows = run_jobs(jobs, recipe, options.out, options.jobs, options.dask, progress)
    faults = failed(rows)
    print(f"{len(rows) - len(faults)} of {len(rows)} pairs are registered: {table_of(options.out)}")
    if faults:
        return SOME_FAILED
    return common.DOUBT if options.strict and any(row["flags"] for row in rows) else 0


def _check(options: argparse.Namespace) -> None:
    for names, rule in (
        (_OF_THE_LIST, "with --pairs it is a column of the list"),
        (_OF_ONE, "does not go with --pairs"),
    ):
        for name in names:
            value = getattr(options, name, None)
            if value is not None and value is not False:
                given = "" if value is True else f" {value}"
                raise InputError(f"--{name.replace('_', '-')}{given}: {rule}")
    if options.out is None:
        raise InputError("--pairs: needs --out, a folder")
    common.check_workers(options.jobs, options.dask, "--jobs")
