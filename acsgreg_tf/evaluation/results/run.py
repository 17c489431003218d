"""Measures the test set for the results page; what is measured already stays."""

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acsgreg_tf.cohort.test_set import PAIRS, VERTEBRAE, build_set
from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation.isolated import isolated
from acsgreg_tf.evaluation.methods import Method, RegisterMethod
from acsgreg_tf.evaluation.pairs import Pair, read_pairs
from acsgreg_tf.evaluation.results.people_check import check_people, read_check
from acsgreg_tf.evaluation.results.provenance import provenance
from acsgreg_tf.evaluation.runner import Row, evaluate, read_rows
from acsgreg_tf.io.files import write_json
from acsgreg_tf.io.tables import read_table
from acsgreg_tf.io.work_folder import make_folder

__all__ = ["DEFAULT", "NETWORK_ALONE", "REFINED", "Measured", "Plan", "drawn", "measure_all", "read_measured"]

NETWORK_ALONE, DEFAULT, REFINED = "network alone", "default", "refined"
ROWS, PART_ROWS, SESSIONS = "rows.csv", "part_rows.csv", "sessions.json"


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        data: Folder of the scans.
        out: Work folder.
        people: The table of people; None is `people.csv` in `data`.
        model: Path of the network; "" is the one that comes with the package.
        steps: Of a whole refinement; 0 leaves it out.
        part: Of the simulated pairs that all but the default are given, 0 to 1; of real pairs all.
        others: Other tools, measured on those pairs.
        processes: That work side by side; seconds are comparable with 1.
        costs: Run each method in a process of its own, for its seconds cold and warm and its memory.

    Raises:
        InputError: A number is out of range.
    """

    data: str
    out: str
    people: str | None = None
    model: str = ""
    steps: int = 50
    part: float = 0.0
    others: tuple[Method, ...] = ()
    processes: int = 1
    costs: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.part <= 1:
            raise InputError(f"part {self.part:g}: must lie between 0 and 1")
        if self.steps < 0:
            raise InputError(f"steps {self.steps}: must not be negative")
        if self.costs and self.processes > 1:
            raise InputError("costs: goes with one process, or the methods would wait for each other")

    def networks(self) -> tuple[RegisterMethod, ...]:
        """What `register` does by default, the network alone, and a whole refinement if it shall be."""
        default, alone, refined = (
            RegisterMethod(self.model, options, name)
            for name, options in (
                (DEFAULT, ()),
                (NETWORK_ALONE, (("refine", 0),)),
                (REFINED, (("refine", self.steps),)),
            )
        )
        return (default, alone, *([refined] if self.steps else []))


@dataclass(frozen=True, eq=False)
class Measured:
    """What the page is made from.

    Attributes:
        plan: What was measured.
        rows: Of the test set.
        part_rows: Of the pairs with parts, a test person with any other.
        vertebrae: The lines of the set's table of vertebrae.
        check: Of the bones of both sides (`people_check.read_check`).
        sessions: Machine, date, versions, commit and processes of each run that measured something.
    """

    plan: Plan
    rows: list[Row]
    part_rows: list[Row]
    vertebrae: list[dict[str, str]]
    check: dict[str, Any]
    sessions: list[dict[str, str]]


def measure_all(plan: Plan, progress: Callable[[str, Row | None], Any] = lambda step, row: None) -> Measured:
    """Build the test set, compare its people with the others, and measure what is missing.

    Args:
        plan: What to measure.
        progress: Called with the name of the step, and with each row as it is done.

    Raises:
        InputError: As the parts of it; a test person is a training person.
    """
    out = make_folder(plan.out)
    progress("building the test set", None)
    build_set(plan.data, out / "test_set", ("test",), plan.people)
    check = check_people(plan.data, plan.people, out, plan.processes, lambda step: progress(step, None))
    pairs = read_pairs(out / "test_set" / PAIRS)
    sessions, here = _read_json(out / SESSIONS, []), provenance() | {"processes": str(plan.processes)}

    def measured(methods: Sequence[Method], pairs: Sequence[Pair], name: str) -> list[Row]:
        def done(row: Row) -> None:
            if here not in sessions:
                sessions.append(here)
                write_json(out / SESSIONS, sessions)
            progress(row["method"], row)

        methods = isolated(methods) if plan.costs else methods
        return evaluate(methods, pairs, out / name, plan.processes, done) if pairs else []

    methods: list[Method] = [*plan.networks(), *plan.others]
    default, others = methods[0], methods[1:]
    fewer = drawn(pairs, plan.part)
    real = [pair for pair in pairs if pair.get("kind") == "real"]
    # Real pairs first, by every method: a run that is stopped early has what matters most.
    measured([default, *others], real, ROWS)
    part_rows = measured([default, *others], _pairs_with_parts(plan, out), PART_ROWS)
    rows = measured([default], pairs, ROWS) + measured(others, fewer, ROWS)
    return Measured(plan, rows, part_rows, _vertebrae(out), check, sessions)


def read_measured(plan: Plan) -> Measured:
    """What an earlier run measured so far, and nothing more.

    Raises:
        InputError: There is nothing in the work folder, or it is damaged.
    """
    out, wanted = Path(plan.out), [method.name for method in (*plan.networks(), *plan.others)]
    rows, part_rows = ([row for row in read_rows(out / name) if row["method"] in wanted] for name in (ROWS, PART_ROWS))
    if not rows:
        raise InputError(f"{out}: nothing is measured there yet")
    return Measured(plan, rows, part_rows, _vertebrae(out), read_check(out), _read_json(out / SESSIONS, []))


def _vertebrae(out: Path) -> list[dict[str, str]]:
    return [row.cells for row in read_table(out / "test_set" / VERTEBRAE, ("person", "level"), "a test set")]


def _read_json(path: Path, default: Any) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return default


def drawn(pairs: Sequence[Pair], part: float) -> list[Pair]:
    """The real pairs, and of the others at each level the given part, drawn by their names: the same on any machine.

    A larger part holds the pairs of a smaller one.
    """
    chosen: set[int] = set()
    for level in {pair["level"] for pair in pairs}:
        others = [i for i, pair in enumerate(pairs) if pair["level"] == level and pair.get("kind") != "real"]
        others.sort(
            key=lambda i: zlib.crc32(f"{Path(pairs[i]['fixed']).name} {Path(pairs[i]['moving']).name}".encode())
        )
        chosen.update(others[: round(part * len(others))])
    return [pair for i, pair in enumerate(pairs) if i in chosen or pair.get("kind") == "real"]


def _pairs_with_parts(plan: Plan, out: Path) -> list[Pair]:
    """Pairs with parts on both sides of which one at least is a test person's; training people stand in for others."""
    build_set(plan.data, out / "both_sides", ("test", "train"), plan.people)
    pairs = read_pairs(out / "both_sides" / PAIRS)
    table = read_table(out / "both_sides" / VERTEBRAE, ("person", "side", "image"), "a test set")
    tested = {Path(row.cells["image"]).name for row in table if row.cells["side"] == "test"}
    return [
        pair
        for pair in pairs
        if pair.get("fixed_parts") and tested & {Path(pair[name]).name for name in ("fixed", "moving")}
    ]
