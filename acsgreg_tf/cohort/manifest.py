"""The manifest of a cohort: a CSV file with a line for each vertebra, and for each scan that gave none."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.tables import Row, read_table, write_table

__all__ = ["COLUMNS", "Sample", "read_manifest", "relative_name", "sample_key", "usable", "write_manifest"]

COLUMNS = ("person", "level", "image", "label", "source", "volume_ml", "whole", "notes")


@dataclass(frozen=True)
class Sample:
    """One line of a manifest: a vertebra, or the reason why a scan gave none.

    Attributes:
        person: Whose it is.
        level: "L1" and so on; "" where a scan failed before its levels were known.
        image: Path of the crop in network space, intensities in [0, 1]; "" where there is none.
        label: Path of its mask.
        source: What it was made from.
        volume_ml: Of the mask; None where there is none.
        whole: "yes", "cut" (by the scan's edge or the network's box), or "" where there is no vertebra.
        notes: What a user should know.
        parts: Path of its map of parts on the crop's grid (`anatomy.parts`); "" where there is none.
    """

    person: str
    level: str
    image: str = ""
    label: str = ""
    source: str = ""
    volume_ml: float | None = None
    whole: str = ""
    notes: str = ""
    parts: str = ""


def read_manifest(path: str | os.PathLike, check_files: bool = True) -> list[Sample]:
    """Read a manifest: CSV with COLUMNS (parts and more are allowed), paths relative to its own folder.

    Args:
        path: Of the CSV.
        check_files: Whether every image and label must exist.

    Returns:
        Samples in the file's order, their paths joined to the manifest's folder.

    Raises:
        InputError: The file cannot be read or lacks a column; naming the line: an image without a person, a level or a
            label, an image of an earlier line, a missing file, a `whole` that is neither yes, cut nor empty, a volume
            that is no positive number.
    """
    path = Path(path)
    seen: set[str] = set()
    samples = []
    for row in read_table(path, COLUMNS, "a manifest"):
        sample = _sample(row, path.parent, check_files)
        if sample.image and sample.image in seen:
            raise InputError(f"{row.where}: {row.cells['image']} is named twice")
        seen.add(sample.image)
        samples.append(sample)
    return samples


def _sample(row: Row, folder: Path, check_files: bool) -> Sample:
    cells = {name: row.cells[name] for name in COLUMNS} | {"parts": row.cells.get("parts", "")}
    if cells["image"]:
        for name in ("person", "level", "label"):
            if not cells[name]:
                raise InputError(f"{row.where}: {cells['image']} has no {name}")
    if cells["whole"] not in ("yes", "cut", ""):
        raise InputError(f"{row.where}: whole must be yes, cut or empty, not {cells['whole']!r}")
    text = cells.pop("volume_ml")
    volume = _volume(text) if text else None
    if volume is not None and not 0 < volume < np.inf:
        raise InputError(f"{row.where}: volume_ml must be a positive number, not {text!r}")
    for name in ("image", "label", "parts"):
        if cells[name]:
            cells[name] = str(folder / cells[name])
            if check_files and not Path(cells[name]).is_file():
                raise InputError(f"{row.where}: {cells[name]} is not there")
    return Sample(**cells, volume_ml=volume)


def _volume(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def write_manifest(
    path: str | os.PathLike, samples: Sequence[Sample], extra: Sequence[Mapping[str, Any]] | None = None
) -> None:
    """Write Samples as `read_manifest` reads them; whole or not at all.

    Args:
        path: Of the CSV.
        samples: Samples.
        extra: Further columns, a dict for each sample with the same keys.

    Raises:
        InputError: The folder does not exist or cannot be written.
    """
    extra = extra or [{} for _ in samples]
    rows = []
    columns = (*COLUMNS, "parts") if any(sample.parts for sample in samples) else COLUMNS
    for sample, others in zip(samples, extra, strict=True):
        row = {name: getattr(sample, name) for name in columns}
        for name in {"image", "label", "parts"} & {*columns}:
            row[name] = relative_name(row[name], path)
        row["volume_ml"] = "" if sample.volume_ml is None else f"{sample.volume_ml:.2f}"
        row["notes"] = " ".join(sample.notes.split())
        rows.append({**row, **others})
    write_table(path, [*columns, *(extra[0] if extra else ())], rows)


def relative_name(name: str, path: str | os.PathLike) -> str:
    """`name` as seen from the folder of the file `path`, with forward slashes; "" stays ""."""
    return Path(os.path.relpath(name, Path(path).parent)).as_posix() if name else ""


def usable(samples: Iterable[Sample], cut: bool = False) -> list[Sample]:
    """The Samples that show a vertebra; cut ones too if `cut`."""
    return [s for s in samples if s.image and (s.whole != "cut" or cut)]


def sample_key(sample: Sample) -> tuple[str, str, str]:
    """The sort key of every draw: a cohort that was moved to another folder gives the same draw."""
    return sample.person, sample.level, Path(sample.image).name
