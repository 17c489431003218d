"""Many registrations from a table of pairs: side by side, resumable, one row of results each."""

import csv
import functools
import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acsgreg_tf.anatomy.levels import parse_table
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import one_line
from acsgreg_tf.io.tables import read_table, with_added, write_table
from acsgreg_tf.parallel import run_each, silence
from acsgreg_tf.registration.engine import AUTO, Engine, load_engine
from acsgreg_tf.registration.jobs import FILES, Job
from acsgreg_tf.registration.models import NO_MODEL, default_model
from acsgreg_tf.registration.options import DEFORMABLE, Options
from acsgreg_tf.registration.outputs import write_result
from acsgreg_tf.registration.pipeline import register
from acsgreg_tf.registration.prepare import with_vertebra
from acsgreg_tf.registration.scan import Scan, read_scan

__all__ = ["COLUMNS", "TABLE", "Recipe", "failed", "run_jobs", "table_of"]

TABLE = "results.csv"
_BY_STAGE = ("dice", "assd_mm", "lncc")
_STAGES = ("before", "affine", "deformable")
COLUMNS = (
    "id",
    *FILES[:4],
    "level",
    "label",
    *(f"{name}_{stage}" for name in _BY_STAGE for stage in _STAGES),
    "folds",
    "inverse_error_mm",
    "inverse_error_max_mm",
    "seconds",
    "flags",
    "warnings",
    "fault",
    "made_by",
)


@dataclass(frozen=True)
class Recipe:
    """How all pairs of a batch are registered; `pipeline.register` explains each.

    Attributes:
        model: Path of the network; "" is the package's own, "none" goes without.
        engine: What computes it.
        fit_affine: Fit the affine to the surfaces.
        refine: Steps of refinement; None takes the default, and is that number afterwards.
        smoothness: Of the refined deformation.
        transform: What is estimated.
        table: Numbers of the levels.
        moving_table: Likewise of the moving label maps; None is `table`.
    """

    model: str = ""
    engine: str = AUTO
    fit_affine: bool = True
    refine: int | None = None
    smoothness: float | None = None
    transform: str = DEFORMABLE
    table: str = "verse"
    moving_table: str | None = None

    def __post_init__(self) -> None:
        options = Options(self.fit_affine, self.refine, self.smoothness, self.transform)
        options.check_model(self.model)
        object.__setattr__(self, "model", str(self.model or default_model()))
        object.__setattr__(self, "refine", options.steps(self.model != NO_MODEL))

    def made_by(self) -> str:
        """What results follow from: the options, and a digest of the network."""
        options = {name: value for name, value in asdict(self).items() if name not in ("model", "engine")}
        network = NO_MODEL if self.model == NO_MODEL else hashlib.sha256(Path(self.model).read_bytes()).hexdigest()[:12]
        return json.dumps({"network": network, **options}, sort_keys=True)


def table_of(folder: str | os.PathLike) -> Path:
    """The table of results of a batch."""
    return Path(folder) / TABLE


def run_jobs(
    jobs: Sequence[Job],
    recipe: Recipe,
    folder: str | os.PathLike,
    processes: int = 1,
    cluster: str | None = None,
    progress: Callable[[dict[str, Any]], Any] | None = None,
) -> list[dict[str, Any]]:
    """Register each pair and write its outputs and its row; pairs that are done already are left.

    A pair that fails is a row with its reason in the column `fault`; another run tries it again.

    Args:
        jobs: The pairs.
        recipe: How they are registered.
        folder: Where `results.csv` is written, a row as each pair is done.
        processes: How many work side by side.
        cluster: Address of a Dask scheduler instead.
        progress: Called with each new row.

    Returns:
        The rows (`COLUMNS`) of the jobs, in their order.

    Raises:
        InputError: The table is another one, or holds rows of another recipe; a worker died (what is done stays).
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    table, made_by = table_of(folder), recipe.made_by()
    rows, columns = _read_rows(table)
    for row in rows.values():
        if row["made_by"] != made_by:
            raise InputError(
                f"{table}: its rows were made with other options or another network; choose another folder"
            )
    missing = [job for job in jobs if job.id not in rows or rows[job.id]["fault"] or not job.written]
    if recipe.model != NO_MODEL and missing and cluster is None:
        _engine(recipe.model, recipe.engine)  # a fault of the network is one line, not one a pair
    write_table(table, columns, rows.values())
    with open(table, "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        start = None if cluster or processes <= 1 else silence
        for job, measured in run_each(_run, missing, processes, start, (recipe,), cluster):
            row = {**rows.get(job.id, {}), **measured, "made_by": made_by}
            rows[job.id] = row
            writer.writerow(row)
            file.flush()
            if progress is not None:
                progress(row)
    ordered = {job.id: rows[job.id] for job in jobs}
    if missing:  # in the list's order, whichever was first; rows of other lists after them
        write_table(table, columns, (ordered | rows).values())
    return list(ordered.values())


def _read_rows(table: Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The rows by id, the last of each, and the columns, those that a user added at the end.

    A line that a killed run left unfinished is dropped.
    """
    if not table.exists():
        return {}, list(COLUMNS)
    content = table.read_bytes()
    if not content.endswith(b"\n"):
        table.write_bytes(content[: content.rfind(b"\n") + 1])
    if not table.stat().st_size:
        return {}, list(COLUMNS)
    rows = {row.cells["id"]: dict(row.cells) for row in read_table(table, COLUMNS, "a table of this command")}
    return rows, with_added(COLUMNS, rows.values())


def _run(job: Job, recipe: Recipe) -> dict[str, Any]:
    """One job's row, its outputs written."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS, "")
    row |= {"id": job.id, "level": job.level or "", "label": job.label or ""}
    row |= {name: job.files.get(name, "") for name in FILES[:4]}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the row holds them
            return row | _measured(job, recipe)
    except InputError as error:
        return row | {"fault": str(error)}
    except Exception as error:  # one pair must not end a night's run
        return row | {"fault": f"{type(error).__name__}: {one_line(error)}"}


def _measured(job: Job, recipe: Recipe) -> dict[str, Any]:
    files = job.files
    tables = recipe.table, recipe.table if recipe.moving_table is None else recipe.moving_table
    fixed, moving = (
        _alone(read_scan(*(files.get(f"{side}{end}") for end in ("", "_seg", "_ignore"))), table)
        for side, table in zip(("fixed", "moving"), tables, strict=True)
    )
    result = register(
        fixed,
        moving,
        model=NO_MODEL if recipe.model == NO_MODEL else _engine(recipe.model, recipe.engine),
        label=job.label if job.level is None else None,
        level=job.level,
        table=recipe.table,
        moving_table=recipe.moving_table if job.level is not None else None,
        fit_affine=recipe.fit_affine,
        refine=recipe.refine,
        smoothness=recipe.smoothness,
        transform=recipe.transform,
    )
    if result.summary.get("refinement", {}).get("stopped"):
        raise KeyboardInterrupt
    summary = result.summary
    summary["model"] = recipe.model
    for path in job.outputs.values():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_result(result, job.outputs, moving.image.grid)
    stages = {f"{name}_{stage}": summary[name][stage] for name in _BY_STAGE if name in summary for stage in _STAGES}
    return stages | {
        "folds": summary["folds"]["count"],
        "inverse_error_mm": summary["inverse_error_mm"],
        "inverse_error_max_mm": summary["inverse_error_max_mm"],
        "seconds": summary["seconds"]["total"],
        "flags": "; ".join(flag["name"] for flag in summary["flags"]),
        "warnings": "; ".join([*summary["warnings"], *(flag["text"] for flag in summary["flags"])]),
    }


def _alone(scan: Scan, table: str) -> Scan:
    """A scan whose label map holds one vertebra, as a crop's does, with its number.

    Any number but a lumbar level's: there the level that was asked for decides, as in a whole scan.
    """
    if scan.label_map is None:
        return scan
    numbers = np.unique(scan.label_map.data[scan.label_map.data > 0])
    lumbar = {number for level, number in parse_table(table).items() if level.startswith("L")}
    if len(numbers) != 1 or numbers[0] in lumbar:
        return scan
    return with_vertebra(scan, int(numbers[0]))


@functools.lru_cache(maxsize=2)
def _engine(model: str, engine: str) -> Engine:
    """The network, read once in each process."""
    return load_engine(model, engine)


def failed(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of pairs that failed."""
    return [row for row in rows if row["fault"]]
