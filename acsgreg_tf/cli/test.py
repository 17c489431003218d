"""Measure networks and other tools on a list of pairs: Dice, precision, recall, distances and folds, by level."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from acsgreg_tf.cli import common, terminal, voxelmorph_flags
from acsgreg_tf.errors import InputError

_EXAMPLES = """the package's network on a list of pairs, alone and refined
  acsgreg test --pairs pairs.csv --refine 0 50 --out results.csv --json results.json
your own network and ANTs on the test part of a split
  acsgreg test --split cohort/split-person.json --model run/best.h5 --method network ants-syn-cc --out results.csv \\
      --tables paper/
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 for a fault in the input)."""
    return common.run(_test, parser(), arguments)


def parser() -> common.Parser:
    """The parser of all options."""
    parser = common.Parser("test", __doc__, _EXAMPLES)
    parser.add_argument(
        "--model",
        action="append",
        metavar="H5",
        help="network; may be given several times; none refines from nothing; default: the one that comes with the "
        "package",
    )
    _add_pairs(parser)
    parser.add_argument(
        "--method",
        nargs="+",
        default=["network"],
        metavar="NAME",
        help="network, and other tools beside it, of the extra '.[peers]': ants-affine, ants-syn, "
        "ants-syn-full, ants-syn-cc, ants-registration-syn, elastix-bspline, greedy; of the labels too "
        "ants-syn-distance, ants-syn-both, greedy-distance, cpd-surface; voxelmorph-layers is the "
        "network with voxelmorph's own layers (default: network)",
    )
    parser.add_argument(
        "--refine",
        type=int,
        nargs="+",
        metavar="N",
        help="steps of refinement after each network, 0 for the network alone; several are measured one after the "
        "other (default: as register.py)",
    )
    parser.add_argument(
        "--refine-parts",
        action="store_true",
        help="measure each refinement once more that sees the parts of the pairs which have them on both sides",
    )
    parser.add_argument(
        "--no-fit-affine",
        dest="fit_affine",
        action="store_false",
        help="measure each network with its own affine, as register.py --no-fit-affine does",
    )
    parser.add_argument("--out", required=True, metavar="CSV", help="a row a pair; a second run does what is missing")
    parser.add_argument("--json", metavar="OUT", help="means and standard deviations by method and level")
    parser.add_argument(
        "--tables",
        metavar="DIR",
        help="folder for tables that a paper can take: Markdown, CSV and LaTeX, paired tests against the first method "
        "with confidence intervals, and a box plot",
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        help="processes that work side by side; seconds are comparable with 1 (the default)",
    )
    common.add_dask(parser)
    parser.add_argument(
        "--costs",
        action="store_true",
        help="run each method in a process of its own, and measure its seconds cold and warm and its memory",
    )
    common.add_gpu(parser)
    voxelmorph_flags.add(parser, "test")
    return parser


def _add_pairs(parser: argparse.ArgumentParser) -> None:
    pairs = parser.add_mutually_exclusive_group(required=True)
    pairs.add_argument(
        "--pairs",
        metavar="CSV",
        help="columns fixed, fixed_seg, moving, moving_seg[, level, label, kind, fixed_parts, moving_parts, "
        "fixed_points, moving_points]; paths relative to the file",
    )
    pairs.add_argument(
        "--split", metavar="JSON", help="all ordered pairs of the test samples of this split (prepare.py --split)"
    )
    parser.add_argument(
        "--check-people",
        action="store_true",
        help="of --split: compare the bones of its parts first, and refuse one person under two names (slow)",
    )
    parser.add_argument("--manifest", metavar="CSV", help="the split's manifest, if it is not where the split says")


def _test(options: argparse.Namespace) -> None:
    _check(options)
    from acsgreg_tf import evaluation

    if options.split:
        _refuse_shared_people(options)
        pairs = evaluation.split_pairs(options.split, manifest=options.manifest)
    else:
        pairs = evaluation.read_pairs(options.pairs)
    read = [options.pairs, options.split, options.manifest, *(options.model or [])]
    common.check_outputs({"--out": options.out, "--json": options.json}, read)
    if "network" in options.method:
        common.start_backend(options.gpu)
    methods = _methods(options)
    if options.costs:
        methods = evaluation.isolated(methods)
    with terminal.bar(len(pairs) * len(methods), "pair") as bar:

        def progress(row: dict[str, Any]) -> None:
            bar.update()
            if row["fault"]:
                tqdm.write(f"warning: {row['fault']}", file=sys.stderr)

        rows = evaluation.evaluate(methods, pairs, options.out, options.processes, progress, options.dask)
    summary = evaluation.summarise(rows)
    print(evaluation.tables(summary))
    kinds = {kind: evaluation.summarise(part) for kind, part in evaluation.by_kind(rows).items()}
    if len(kinds) > 1:
        for kind, of_kind in kinds.items():
            print(f"\n## Pairs of kind {kind or 'unknown'}\n\n{evaluation.tables(of_kind)}")
    faults = [row for row in rows if row["fault"]]
    if faults:
        print(f"\n{len(faults)} of {len(rows)} pairs failed; their reasons are in {options.out}")
    if options.tables and len(faults) < len(rows):
        files = evaluation.write_paper_tables(rows, options.tables)
        print(f"\nfor a paper: {', '.join(map(str, files))}")
    if options.json:
        common.write_json(options.json, _report(summary, kinds, options))
    if len(faults) == len(rows):
        raise InputError(f"no pair could be registered; the first: {faults[0]['fault']}")


def _refuse_shared_people(options: argparse.Namespace) -> None:
    from acsgreg_tf.cohort.guard import refuse_shared_names, refuse_shared_shapes
    from acsgreg_tf.cohort.split import read_split

    split = read_split(options.split, options.manifest)
    refuse_shared_names(split, options.split)
    if options.check_people:
        refuse_shared_shapes(split, options.split, options.processes)


def _check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together, before anything is read."""
    common.check_workers(options.processes, options.dask)
    common.make_absolute(options, ["pairs", "split", "manifest"])
    if options.dask is not None and options.model:
        options.model = [model if model == "none" else os.path.abspath(model) for model in options.model]
    steps = options.refine or [0]
    if min(steps) < 0:
        raise InputError(f"--refine {min(steps)}: must not be negative")
    if options.refine_parts and ("network" not in options.method or not max(steps)):
        raise InputError("--refine-parts: goes with a network and --refine")
    if options.costs and (options.processes > 1 or options.dask):
        raise InputError("--costs: goes with --processes 1, or the methods would wait for each other")
    if options.manifest and not options.split:
        raise InputError("--manifest: goes with --split")
    if options.check_people and not options.split:
        raise InputError("--check-people: goes with --split; check_people.py compares any two lists")
    from acsgreg_tf.evaluation.peers import peer

    for name in options.method:
        if name != "network":
            peer(name).check()
    for name in ("model", "refine"):
        if getattr(options, name) and "network" not in options.method:
            raise InputError(f"--{name}: goes with --method network")
    if not options.fit_affine and ("network" not in options.method or set(options.model or [""]) == {"none"}):
        raise InputError("--no-fit-affine: goes with a network")


def _methods(options: argparse.Namespace) -> list[Any]:
    """The methods to measure, in the order of the command line."""
    from acsgreg_tf.evaluation import RegisterMethod
    from acsgreg_tf.evaluation.peers import peer

    networks = [
        RegisterMethod(model, _options(model, steps, options.fit_affine), with_parts=with_parts)
        for model in options.model or [""]
        for steps in options.refine or [None]
        for with_parts in ((False, True) if options.refine_parts and steps else (False,))
    ]
    return [method for name in options.method for method in (networks if name == "network" else [peer(name)])]


def _options(model: str, steps: int | None, fit_affine: bool) -> tuple[tuple[str, Any], ...]:
    """The arguments of `register` that differ from its defaults, as tables name them."""
    chosen = () if steps is None else (("refine", steps),)
    return chosen if fit_affine or model == "none" else (*chosen, ("fit_affine", False))


def _report(summary: dict[str, Any], kinds: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """The content of --json."""
    return {
        "methods": summary,
        "kinds": kinds if len(kinds) > 1 else {},
        "pairs": options.pairs or options.split,
        "processes": options.processes,
        "processors": os.cpu_count(),
        "labels": "moving label map as given, sampled once, linearly, cut at 0.5, on the fixed vertebra's grid",
        "folds": "non-positive Jacobian determinants by forward differences; central_folds by central ones",
    }
