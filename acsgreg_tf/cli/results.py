"""Measure the test set and write the results page: every table and picture, with machine, date, versions and commit.

The work folder keeps a row a pair, so a run that was stopped goes on. With --docs the page, its picture and the
README's section are written into a checkout."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from acsgreg_tf.cli import common
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import atomic_path, write_json, write_text

PAGE, PICTURE, README = "docs/results.md", "docs/images/results.png", "README.md"
USUAL = "acsgreg_tf/report/usual.json"
_SECTION = re.compile(r"(<!-- results -->\n).*?(<!-- /results -->)", re.DOTALL)

_EXAMPLES = """  acsgreg results --data scans/ --out work --part 0.2 --methods network ants-syn --docs .
what is measured so far
  acsgreg results --data scans/ --out work --so-far
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 for a fault in the input)."""
    return common.run(_results, parser(), arguments)


def parser() -> common.Parser:
    """The parser of all options."""
    parser = common.Parser("results", __doc__, _EXAMPLES)
    parser.add_argument("--data", required=True, metavar="DIR", help="folder with the scans and people.csv")
    parser.add_argument("--people", metavar="CSV", help="the table of people (default: people.csv in --data)")
    parser.add_argument("--out", required=True, metavar="DIR", help="work folder; a second run does what is missing")
    parser.add_argument("--model", default=None, metavar="H5", help="network (default: the package's)")
    parser.add_argument(
        "--refine",
        type=int,
        default=50,
        metavar="N",
        help="steps of refinement; 0: none (default: %(default)s)",
    )
    parser.add_argument(
        "--part",
        type=float,
        default=0.0,
        metavar="P",
        help="of the simulated pairs, that are given to all but the default; all real ones are (default: 0)",
    )
    parser.add_argument(
        "--methods", nargs="+", default=["network"], metavar="NAME", help="network, and other tools as in test.py"
    )
    parser.add_argument("--processes", type=int, default=1, help="that work side by side (default: %(default)s)")
    parser.add_argument(
        "--costs",
        action="store_true",
        help="run each method in a process of its own, and measure its seconds cold and warm and its memory",
    )
    parser.add_argument(
        "--again", action="store_true", help="measure anew, as after a change of code; earlier rows go to *.before"
    )
    parser.add_argument("--so-far", action="store_true", help="measure nothing: write what is measured so far")
    parser.add_argument(
        "--docs", metavar="DIR", help=f"checkout in which {PAGE}, {PICTURE}, {README} and {USUAL} are written"
    )
    common.add_gpu(parser)
    return parser


def _results(options: argparse.Namespace) -> None:
    from acsgreg_tf.evaluation.peers import peer
    from acsgreg_tf.evaluation.results import Plan, measure_all, read_measured

    others = tuple(peer(name) for name in options.methods if name != "network")
    plan = Plan(
        data=options.data,
        out=options.out,
        people=options.people,
        model=options.model or "",
        steps=options.refine,
        part=options.part,
        others=others,
        processes=options.processes,
        costs=options.costs,
    )
    if options.processes < 1:
        raise InputError(f"--processes {options.processes}: must be at least 1")
    if options.docs is not None:
        _check_docs(Path(options.docs))
    if options.again and options.so_far:
        raise InputError("--again: measures, and --so-far does not")
    if options.again:
        _set_aside(Path(options.out))
    if options.so_far:
        _write(read_measured(plan), options)
        return
    common.start_backend(options.gpu)

    def progress(step: str, row: dict[str, Any] | None) -> None:
        if row is None:
            tqdm.write(step, file=sys.stderr)
            return
        pair = f"{Path(row['fixed']).name}, {Path(row['moving']).name}"
        number = row["fault"] or f"{row['dice_deformable']:.3f}"
        tqdm.write(f"{step}: {pair}: {number}", file=sys.stderr)

    _write(measure_all(plan, progress), options)


def _check_docs(docs: Path) -> None:
    readme = docs / README
    if not readme.is_file() or not _SECTION.search(readme.read_text(encoding="utf-8")):
        raise InputError(f"{readme}: is not there, or lacks the lines <!-- results --> and <!-- /results -->")
    for name in (PAGE, PICTURE, USUAL):
        common.check_outputs({"--docs": str(docs / name)}, [])


def _set_aside(out: Path) -> None:
    from acsgreg_tf.evaluation.results.run import PART_ROWS, ROWS, SESSIONS

    for name in (ROWS, PART_ROWS, SESSIONS):
        if (out / name).exists():
            (out / name).replace(out / f"{name}.before")


def _write(measured: Any, options: argparse.Namespace) -> None:
    from acsgreg_tf.evaluation.results import results_page, save_results_picture, short_section, usual_values

    out = Path(options.out)
    words = ["python scripts/results.py --data DATA --out WORK", f"--refine {options.refine} --part {options.part:g}"]
    if options.methods != ["network"]:
        words.append("--methods " + " ".join(options.methods))
    if options.costs:
        words.append("--costs")
    if options.processes > 1:
        words.append(f"--processes {options.processes}")
    command = " ".join([*words, "--docs ."])
    page = results_page(measured, command, "images/results.png")
    save_results_picture(measured.rows, out / "results.png")
    write_text(out / "results.md", page)
    if options.docs is not None:
        docs = Path(options.docs)
        with atomic_path(docs / PICTURE) as temporary:
            temporary.write_bytes((out / "results.png").read_bytes())
        write_text(docs / PAGE, page)
        readme = (docs / README).read_text(encoding="utf-8")
        section = short_section(measured, PAGE)
        write_text(docs / README, _SECTION.sub(lambda match: f"{match[1]}{section}\n{match[2]}", readme))
        usual = usual_values(measured)
        if usual is not None:
            write_json(docs / USUAL, usual)
    print(f"wrote {out / 'results.md'}" + (f" and {Path(options.docs) / PAGE}" if options.docs else ""))
