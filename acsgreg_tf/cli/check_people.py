"""Find people who stand in two lists: the same bones under one name or two, whichever way they were saved.

A list is a manifest (prepare.py, generate.py), the list of shapes that generate.py varies, a folder of scans, or a CSV
list of them with the columns image and label, and optionally person, level and number. A single folder with people.csv
is compared with itself: its training people with its test people. Vertebrae of one level are laid on each other; pairs
that are nearer than two people are to each other are printed."""

import argparse

from acsgreg_tf.anatomy.levels import parse_table
from acsgreg_tf.cli import common, terminal

_EXAMPLES = """  acsgreg check-people train/manifest.csv test/manifest.csv --processes 2
training people and test people of one folder, and the five nearest pairs
  acsgreg check-people scans/ --nearest 5
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code (1 where a person is on both sides, 2 for a fault in the input)."""
    matches: list = []
    code = common.run(lambda options: matches.extend(_check_people(options)), parser(), arguments)
    return code or int(bool(matches))


def parser() -> common.Parser:
    """The parser of all options."""
    parser = common.Parser("check-people", __doc__, _EXAMPLES)
    parser.add_argument("first", help="one list of people, such as those to train on")
    parser.add_argument("second", nargs="?", help="the other, such as those to test on")
    parser.add_argument("--table", default="verse", help="label numbers: verse, totalsegmentator, or L1=20,L2=21")
    parser.add_argument("--nearest", type=int, default=0, metavar="N", help="also print the N nearest pairs of all")
    parser.add_argument("--processes", type=int, default=1, help="that compare side by side (default: %(default)s)")
    return parser


def _check_people(options: argparse.Namespace) -> list:
    from acsgreg_tf.cohort.same_person import SAME_PERSON_MM, compare_people, list_bones, list_people_bones

    table = parse_table(options.table)
    if options.second is None:
        first, second = (list_people_bones(options.first, side) for side in ("train", "test"))
    else:
        first, second = (list_bones(source, table) for source in (options.first, options.second))
    with terminal.bar(0, "pair") as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update()

        matches = compare_people(first, second, options.processes, progress)
    near = [match for match in matches if match.mm < SAME_PERSON_MM]
    for match in matches[: max(len(near), options.nearest)]:
        names = "  ".join(f"{bone.person} ({bone.label})" for bone in (match.first, match.second))
        print(f"{match.mm:.2f} mm  {match.level}  {names}")
    people = {(match.first.person, match.second.person) for match in near}
    print(
        f"{len(matches)} pairs compared: "
        + (f"{len(people)} people stand in both lists" if near else "nobody stands in both")
    )
    return near
