"""The pairs of a batch: a list in a CSV file, and where each pair's outputs go."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.tables import is_label_number, read_table
from acsgreg_tf.registration.outputs import check_ending

__all__ = ["DEFAULT_OUTPUTS", "FILES", "Job", "read_jobs"]

# Written for each pair where nothing else is asked for; {id} and the list's columns stand for their values.
DEFAULT_OUTPUTS = {
    "moved": "{id}/moved.nii.gz",
    "moved_seg": "{id}/moved_seg.nii.gz",
    "warp": "{id}/warp.h5",
    "metrics": "{id}/metrics.json",
}
FILES = ("fixed", "moving", "fixed_seg", "moving_seg", "fixed_ignore", "moving_ignore")


@dataclass(frozen=True)
class Job:
    """One pair of a batch.

    Attributes:
        id: Its name, as in the table.
        files: {fixed, moving, fixed_seg, ...: path}, those that there are.
        level: "L3", or None.
        label: Its number in both label maps, or None.
        outputs: {name of `outputs.ENDINGS`: path}.
    """

    id: str
    files: Mapping[str, str]
    level: str | None
    label: int | None
    outputs: Mapping[str, str]

    @property
    def written(self) -> bool:
        """Whether all outputs are there, but for a label that the pair does not have."""
        missing = () if "moving_seg" in self.files else ("moved_seg",)
        return all(Path(path).is_file() for name, path in self.outputs.items() if name not in missing)


def read_jobs(path: str | os.PathLike, folder: str | os.PathLike, templates: Mapping[str, str]) -> list[Job]:
    """Read a list of pairs.

    Args:
        path: CSV with the columns fixed and moving; optionally fixed_seg, moving_seg, fixed_ignore, moving_ignore (all
            paths, relative to the list's own folder), level, label and id. Without an id a pair is called
            moving_to_fixed, and its level.
        folder: Where outputs go.
        templates: {name of `outputs.ENDINGS`: path in the folder}, in which {id} and the list's columns stand for
            their values.

    Raises:
        InputError: The list cannot be read, lacks a column, a value or a file, or two pairs would write one file.
    """
    rows = read_table(path, ("fixed", "moving"), "a list of pairs")
    if not rows:
        raise InputError(f"{path}: holds no pair")
    for name, template in templates.items():
        check_ending(name, template)
    jobs = [_job(where, cells, Path(path).parent, Path(folder), templates) for where, cells in rows]
    read = {Path(file).resolve() for job in jobs for file in job.files.values()} | {Path(path).resolve()}
    writers: dict[str, str] = {}
    for (where, _), job in zip(rows, jobs, strict=True):
        for output in (job.id, *job.outputs.values()):
            if output in writers:
                raise InputError(f"{where}: {output} is that of {writers[output]} too; name the pairs by a column id")
            writers[output] = where
        for output in job.outputs.values():
            if Path(output).resolve() in read:
                raise InputError(f"{where}: {output} would replace an input")
    return jobs


def _job(where: str, cells: dict[str, str], here: Path, folder: Path, templates: Mapping[str, str]) -> Job:
    files = {name: str(here / cells[name]) for name in FILES if cells.get(name)}
    for name in ("fixed", "moving"):
        if name not in files:
            raise InputError(f"{where}: {name} is empty")
    for file in files.values():
        if not Path(file).exists():
            raise InputError(f"{where}: {file}: no such file")
    if cells.get("label") and not is_label_number(cells["label"]):
        raise InputError(f"{where}: label must be a whole number, not {cells['label']!r}")
    level = cells.get("level") or None
    name = cells.get("id") or "_".join(filter(None, [_stem(files["moving"]), "to", _stem(files["fixed"]), level]))
    if not name.strip(".") or any(sign in name for sign in "/\\\0:"):
        raise InputError(f"{where}: id {name!r}: must be usable as a file's name")
    values = {**cells, "id": name}
    outputs = {key: str(folder / _filled(template, values, where)) for key, template in templates.items()}
    return Job(name, files, level, int(cells["label"]) if cells.get("label") else None, outputs)


def _stem(path: str) -> str:
    return Path(path).name.split(".")[0]


def _filled(template: str, values: Mapping[str, str], where: str) -> str:
    for name, value in values.items():
        if f"{{{name}}}" in template and ("/" in value or "\\" in value):
            value = _stem(value)
        template = template.replace(f"{{{name}}}", value)
    if "{" in template:
        raise InputError(f"{where}: {template}: names a column that the list lacks")
    return template
