"""A cohort of vertebrae: its manifest, who is trained on and who is tested, and the pairs that the paper's studies take.

Section 3.1 and 3.2 of the paper: at each level some samples, chosen at random, are for testing and the rest for training,
and every sample is registered to every other one of its level. Nothing here reads an image.
"""

import csv
import os
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import atomic_path

__all__ = ["COLUMNS", "Sample", "read_manifest", "relative_name", "sample_key", "usable", "write_manifest"]

COLUMNS = ("person", "level", "image", "label", "source", "volume_ml", "whole", "notes")


@dataclass(frozen=True)
class Sample:
    """One line of a manifest: a vertebra, or the reason why a scan gave none.

    Attributes:
        person: whose it is.
        level: "L1" and so on; "" where a scan failed before its levels were known.
        image: path of the crop, network space, in [0, 1]; "" where there is none.
        label: path of its mask.
        source: what it was made from.
        volume_ml: of the mask; None where there is none.
        whole: "yes", "cut" (by the scan's edge or the network's box), or "" where there is no vertebra.
        notes: what a user should know.
    """

    person: str
    level: str
    image: str = ""
    label: str = ""
    source: str = ""
    volume_ml: float | None = None
    whole: str = ""
    notes: str = ""


def read_manifest(path, check_files=True):
    """The Samples of a manifest: CSV with COLUMNS (more are allowed), paths relative to its own folder.

    Args:
        path: of the CSV.
        check_files: that every image and label named is there.

    Returns:
        A list of Samples in the file's order, their paths joined to the manifest's folder.

    Raises:
        InputError: the file cannot be read or lacks a column; naming the line: an image without a person, a level or a
            label, an image that an earlier line has, a file that is not there, a `whole` that is neither yes, cut nor
            empty, a volume that is no positive number.
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a manifest ({error.__class__.__name__})") from error
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise InputError(f"{path}: lacks the column {', '.join(missing)}, so it is no manifest")
    seen, samples = set(), []
    for number, row in enumerate(rows, start=2):
        sample = _sample(row, path, f"{path}, line {number}", check_files)
        if sample.image and sample.image in seen:
            raise InputError(f"{path}, line {number}: {row['image']} is named twice")
        seen.add(sample.image)
        samples.append(sample)
    return samples


def _sample(row, path, where, check_files):
    row = {name: (row[name] or "").strip() for name in COLUMNS}
    if row["image"]:
        for name in ("person", "level", "label"):
            if not row[name]:
                raise InputError(f"{where}: {row['image']} has no {name}")
    if row["whole"] not in ("yes", "cut", ""):
        raise InputError(f"{where}: whole must be yes, cut or empty, not {row['whole']!r}")
    volume = None
    if row["volume_ml"]:
        try:
            volume = float(row["volume_ml"])
        except ValueError:
            volume = np.nan
        if not 0 < volume < np.inf:
            raise InputError(f"{where}: volume_ml must be a positive number, not {row['volume_ml']!r}")
    for name in ("image", "label"):
        if row[name]:
            row[name] = str(path.parent / row[name])
            if check_files and not Path(row[name]).is_file():
                raise InputError(f"{where}: {row[name]} is not there")
    return Sample(**{**row, "volume_ml": volume})


def write_manifest(path, samples, extra=None):
    """Write Samples as `read_manifest` reads them; whole or not at all.

    Args:
        path: of the CSV.
        samples: Samples.
        extra: further columns, a dict for each sample with the same keys.

    Raises:
        InputError: the folder does not exist or cannot be written.
    """
    path = Path(path)
    extra = extra or [{} for _ in samples]
    more = list(extra[0]) if extra else []
    with atomic_path(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*COLUMNS, *more])
        writer.writeheader()
        for sample, others in zip(samples, extra, strict=True):
            row = {field.name: getattr(sample, field.name) for field in fields(sample)}
            for name in ("image", "label"):
                row[name] = relative_name(row[name], path)
            row["volume_ml"] = "" if sample.volume_ml is None else f"{sample.volume_ml:.2f}"
            row["notes"] = " ".join(sample.notes.split())
            writer.writerow(row | others)


def relative_name(name, path):
    """`name` as seen from the folder of `path`, with forward slashes."""
    return Path(os.path.relpath(name, path.parent or ".")).as_posix() if name else ""


def usable(samples, cut=False):
    """The Samples that show a vertebra; cut ones too if `cut`."""
    return [s for s in samples if s.image and (s.whole != "cut" or cut)]


def sample_key(sample):
    """What a draw sorts by: where the cohort lies must not matter."""
    return sample.person, sample.level, Path(sample.image).name
