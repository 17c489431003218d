"""Methods on a list of pairs: each pair at Initial, Affine and Final (the paper's Tables 1 to 4), means by level.

A method is a network of this package or another tool (`acsgreg_tf.evaluation.peers`); all are measured by the same code: labels
warped once, linearly, from the moving label map as it was given, and cut at 0.5, on the fixed vertebra's grid.
"""

import csv
import multiprocessing
import os
import signal
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation.measures import NUMBERS, measure
from acsgreg_tf.io.files import atomic_path, one_line

KEY = ("method", "fixed", "moving", "level", "label")
COLUMNS = (*KEY, *NUMBERS, "notes", "fault", "made_by")


# pairs


# measures


# methods


# the run


def evaluate(methods, pairs, out, processes=1, progress=None):
    """Register each pair with each method and write `out` (CSV, a row a pair) as it goes; what it already holds is kept.

    A pair that fails is a row with its reason in the column `fault`; another run tries it again.

    Args:
        methods: Network, Crops or Peer objects with different names.
        pairs: as `read_pairs` gives them.
        out: CSV path.
        processes: how many work side by side, each with a network of its own. Seconds are comparable between runs of 1.
        progress: called with each finished row.

    Returns:
        The rows: the pairs in order, method after method.

    Raises:
        InputError: a method that cannot run, two methods of one name, a file at `out` that is another table or holds rows of
            another network under the same name, or a process that died (what was done is kept).
    """
    made_by = {method.name: method.made_by() for method in methods}
    if len(made_by) < len(methods):
        raise InputError(
            f"methods: {', '.join(m.name for m in methods)} are not all different; give models different names"
        )
    tasks = {(method.name, *(pair[name] for name in KEY[1:])): (method, pair) for method in methods for pair in pairs}
    rows = {_key(row): row for row in _read_rows(out)}
    for row in rows.values():
        if row["made_by"] != made_by.get(row["method"], row["made_by"]):
            raise InputError(
                f"{out}: its rows of {row['method']} were made by {row['made_by']}, not {made_by[row['method']]}; "
                "choose another name"
            )
    missing = [task for key, task in tasks.items() if key not in rows or rows[key]["fault"]]
    for method in {task[0] for task in missing}:
        method.check()

    for row in _work(missing, processes):
        row |= {"made_by": made_by[row["method"]]}
        rows[_key(row)] = row
        _write_rows(out, rows.values())
        if progress is not None:
            progress(row)
    # The pairs' order, whichever process was first; rows of other methods stay behind them.
    ordered = {key: rows[key] for key in tasks}
    if missing:
        _write_rows(out, (ordered | rows).values())
    return list(ordered.values())


def _work(tasks, processes):
    """The rows of all tasks, as they come."""
    if processes == 1 or len(tasks) < 2:
        yield from (_row(*task) for task in tasks)
        return
    threads = max(1, (os.cpu_count() or 1) // processes)
    # TensorFlow does not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(tasks)), context, _start, (threads,)) as pool:
        waiting = [pool.submit(_row, *task) for task in tasks]
        try:
            for done in as_completed(waiting):
                yield done.result()
        except BrokenProcessPool as error:
            raise InputError(
                f"processes {processes}: one of them died; there may be too little memory for so many"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _start(threads):
    """Of each process: its share of the processor, unless the user has set one; Ctrl-C and talking are the first one's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # TensorFlow's first lines heed no setting; faults are in the rows
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        os.environ.setdefault(name, str(threads))


def _row(method, pair):
    row = dict.fromkeys(COLUMNS, "") | {name: pair.get(name, "") for name in KEY} | {"method": method.name}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they say is in the notes
            result = method.run(pair)
        return row | measure(result) | {"notes": "; ".join(result.summary["warnings"])}
    except InputError as error:
        return row | {"fault": str(error)}
    except Exception as error:  # another tool's failure, or memory: one pair must not end a night's run
        return row | {"fault": f"{type(error).__name__}: {one_line(error)}"}


def _key(row):
    return tuple(row[name] for name in KEY)


def _read_rows(path):
    if not Path(path).exists():
        return []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table ({error.__class__.__name__})") from error
    if not rows or set(COLUMNS) - set(rows[0]):
        raise InputError(f"{path}: is not a table of this command; choose another name")
    for row in rows:
        if not row["fault"]:
            row |= {name: float(row[name]) for name in NUMBERS}
    return rows


def _write_rows(path, rows):
    with atomic_path(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


# summaries
