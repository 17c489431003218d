"""Methods on a list of pairs: a row of measures for each pair at Initial, Affine and Final (the paper's Tables 1 to 4).

All methods are measured by the same code: the moving label map as it is on disk, sampled once, linearly, on the fixed
vertebra's grid, and cut at 0.5.
"""

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation.measures import MEASURES, NUMBERS, measure
from acsgreg_tf.evaluation.methods import Method
from acsgreg_tf.evaluation.pairs import Pair
from acsgreg_tf.io.files import one_line
from acsgreg_tf.io.tables import read_table, with_added, write_table
from acsgreg_tf.parallel import run_each, silence

KEY = ("method", "fixed", "moving", "level", "label")
COLUMNS = (*KEY, "kind", *NUMBERS, "notes", "fault", "made_by")
_NEEDED = (*KEY, *(f"{name}_deformable" for name in MEASURES), "fault", "made_by")

Row = dict[str, Any]


def evaluate(
    methods: Sequence[Method],
    pairs: Sequence[Pair],
    out: str | os.PathLike,
    processes: int = 1,
    progress: Callable[[Row], Any] | None = None,
    cluster: str | None = None,
) -> list[Row]:
    """Register each pair with each method and write a table as it goes; rows that it already holds are kept.

    A pair that fails is a row with its reason in the column `fault`; another run tries it again.

    Args:
        methods: What to measure; their names must differ.
        pairs: As `read_pairs` returns them.
        out: Path of the CSV.
        processes: How many work side by side, each with a network of its own. Only seconds of 1 can be compared.
        progress: Called with each finished row.
        cluster: Address of a Dask scheduler, whose workers take the place of processes.

    Returns:
        The rows: the pairs in order, method after method.

    Raises:
        InputError: A method that cannot run, two methods of one name, a file at `out` that is another table or holds
            rows of another network under the same name, or a process that died (finished rows are kept).
    """
    made_by = {method.name: method.made_by() for method in methods}
    if len(made_by) < len(methods):
        names = ", ".join(method.name for method in methods)
        raise InputError(f"methods: {names} are not all different; give models different names")
    rows = {_key(row): row for row in read_rows(out)}
    _check_origin(rows.values(), made_by, out)
    tasks = {(method.name, *(pair[name] for name in KEY[1:])): (method, pair) for method in methods for pair in pairs}
    missing = [task for key, task in tasks.items() if key not in rows or rows[key]["fault"]]
    for method in {method.name: method for method, _ in missing}.values():
        method.check()

    for _, row in run_each(_measured, missing, processes, silence, cluster=cluster):
        row["made_by"] = made_by[row["method"]]
        rows[_key(row)] = row
        write_rows(out, rows.values())
        if progress is not None:
            progress(row)
    ordered = {key: rows[key] for key in tasks}
    if missing:  # in the pairs' order, whichever process was first; rows of other methods after them
        write_rows(out, (ordered | rows).values())
    return list(ordered.values())


def put_row(out: str | os.PathLike, row: Row) -> None:
    """Put one row into a table of `evaluate`, in place of an earlier one of the same method and pair.

    Args:
        out: Path of the CSV, made if it is not there.
        row: With the columns of KEY at least.

    Raises:
        InputError: The file is another table, or cannot be written.
    """
    rows = {_key(earlier): earlier for earlier in read_rows(out)}
    rows[_key(row)] = dict.fromkeys(COLUMNS, "") | row
    write_rows(out, rows.values())


def write_rows(out: str | os.PathLike, rows: Iterable[Row]) -> None:
    """Write a table, the columns that a user added to it at the end."""
    rows = list(rows)
    write_table(out, with_added(COLUMNS, rows), rows)


def _check_origin(rows: Iterable[Row], made_by: dict[str, str], out: str | os.PathLike) -> None:
    for row in rows:
        name, before = row["method"], row["made_by"]
        if before != made_by.get(name, before):
            raise InputError(
                f"{out}: its rows of {name} were made by {before}, not {made_by[name]}; choose another name"
            )


def _measured(task: tuple[Method, Pair]) -> Row:
    """The row of one method and pair."""
    method, pair = task
    row: Row = (
        dict.fromkeys(COLUMNS, "") | {name: pair.get(name, "") for name in (*KEY, "kind")} | {"method": method.name}
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the outcome's notes hold them
            outcome = method.run(pair)
        return row | measure(outcome, pair) | {"notes": "; ".join(outcome.notes)}
    except InputError as error:
        return row | {"fault": str(error)}
    except Exception as error:  # a tool's failure, or memory: one pair must not end a night's run
        return row | {"fault": f"{type(error).__name__}: {one_line(error)}"}


def _key(row: Row) -> tuple:
    return tuple(row[name] for name in KEY)


def read_rows(path: str | os.PathLike) -> list[Row]:
    """The rows of a table of `evaluate`, measures as numbers; none where there is no file.

    Raises:
        InputError: It is another table.
    """
    if not Path(path).exists():
        return []
    rows: list[Row] = [dict(row.cells) for row in read_table(path, _NEEDED, "a table of this command")]
    for row in rows:
        row["kind"] = row.get("kind", "")
        if not row["fault"]:
            row |= {name: float(row.get(name) or "nan") for name in NUMBERS}  # a version before had fewer measures
    return rows
