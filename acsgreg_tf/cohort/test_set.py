"""Builds a set of pairs to measure on, from a table of people and their scans; the same on any machine."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from acsgreg_tf.anatomy.levels import LUMBAR, TABLES
from acsgreg_tf.anatomy.parts import parts_of_vertebra
from acsgreg_tf.anatomy.plausibility import PLAUSIBLE_ML
from acsgreg_tf.anatomy.vertebra import extract
from acsgreg_tf.cohort.crops import simulate
from acsgreg_tf.cohort.manifest import relative_name
from acsgreg_tf.cohort.people import Person, PersonScan, find_person_scans, read_people
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.boxes import bounding_box
from acsgreg_tf.io.files import remove_unfinished, write_json
from acsgreg_tf.io.images import Image, read_image, read_label, write_image
from acsgreg_tf.io.tables import write_table
from acsgreg_tf.io.work_folder import claim, make_folder

__all__ = ["PAIRS", "PAIR_COLUMNS", "VERTEBRAE", "SetVertebra", "build_set", "set_pairs"]

PAIRS, VERTEBRAE, NOTE = "pairs.csv", "vertebrae.csv", "test_set.json"
PAIR_COLUMNS = (
    *("fixed", "fixed_seg", "moving", "moving_seg", "level", "kind"),
    *("fixed_person", "moving_person", "fixed_parts", "moving_parts"),
)
_MARGIN_MM = 15.0  # of the CT round a vertebra: more than an interpolation needs


@dataclass(frozen=True)
class SetVertebra:
    """One vertebra of the set, or the reason why a person's level is not in it.

    Attributes:
        person: Whose it is.
        side: "train" or "test".
        level: "L1" to "L5".
        kind: "real" where its intensities are a CT's, else "simulated"; "" where there is no vertebra.
        image: Path of the CT around it (HU), or of the simulated one (masked, [0, 1], 1 mm).
        label: Path of its label map, 1 inside, on the grid that it came with.
        parts: Path of its map of parts, or "".
        source: The label map that it was taken from.
        notes: Why it is not in the set, or what a user should know.
    """

    person: str
    side: str
    level: str
    kind: str = ""
    image: str = ""
    label: str = ""
    parts: str = ""
    source: str = ""
    notes: str = ""


def build_set(
    data: str | os.PathLike,
    out: str | os.PathLike,
    sides: Sequence[str] = ("test",),
    people: str | os.PathLike | None = None,
    progress: Callable[[SetVertebra], Any] | None = None,
) -> list[SetVertebra]:
    """Cut every whole vertebra of some people out of their scans, and list all ordered pairs of them.

    A level without a CT gets simulated intensities that follow from the person's name and the level. `out` gets
    `vertebrae/`, `vertebrae.csv` (a line a vertebra, also for those left out, with the reason) and `pairs.csv`, which
    `test.py --pairs` reads. A second run does what is missing.

    Args:
        data: Folder with the scans, at any depth.
        out: Folder, made if missing.
        sides: Whose pairs: "test", "train", or both.
        people: The table of people (`read_people`); None is `people.csv` in `data`.
        progress: Called with each finished vertebra.

    Returns:
        The set's vertebrae, by person and level.

    Raises:
        InputError: The table or a scan cannot be read, the folder was made with other sides, or there is no pair.
    """
    out, table = Path(out), Path(data) / "people.csv" if people is None else Path(people)
    chosen = [person for person in read_people(table) if person.side in sides]
    claim(out, NOTE, {"sides": sorted(sides)})
    for name in ("vertebrae", "records"):
        remove_unfinished(make_folder(out / name))
    vertebrae = []
    for person in chosen:
        for vertebra in _vertebrae_of(person, Path(data), out):
            vertebrae.append(vertebra)
            if progress is not None:
                progress(vertebra)
    pairs = set_pairs(vertebrae)
    if not pairs:
        raise InputError(f"{table}: gives no two whole vertebrae of one level on the side {' or '.join(sides)}")
    _write_lists(out, vertebrae, pairs)
    return vertebrae


def set_pairs(vertebrae: Sequence[SetVertebra]) -> list[tuple[SetVertebra, SetVertebra]]:
    """All ordered pairs (fixed, moving) of different people at one level, by level."""
    usable = [v for v in vertebrae if v.image]
    return [
        (fixed, moving)
        for level in LUMBAR
        for fixed in usable
        for moving in usable
        if fixed.level == moving.level == level and fixed.person != moving.person
    ]


def _write_lists(out: Path, vertebrae: Sequence[SetVertebra], pairs: Sequence[tuple[SetVertebra, SetVertebra]]) -> None:
    def place(path: str) -> str:
        return relative_name(path, out / PAIRS)

    rows = [asdict(v) | {name: place(getattr(v, name)) for name in ("image", "label", "parts")} for v in vertebrae]
    write_table(out / VERTEBRAE, list(rows[0]), rows)
    lines = []
    for fixed, moving in pairs:
        paths = (place(path) for path in (fixed.image, fixed.label, moving.image, moving.label))
        kind = "real" if fixed.kind == moving.kind == "real" else "simulated"
        both = (place(fixed.parts), place(moving.parts)) if fixed.parts and moving.parts else ("", "")
        cells = (*paths, fixed.level, kind, fixed.person, moving.person, *both)
        lines.append(dict(zip(PAIR_COLUMNS, cells, strict=True)))
    write_table(out / PAIRS, PAIR_COLUMNS, lines)


def _vertebrae_of(person: Person, data: Path, out: Path) -> Iterator[SetVertebra]:
    """A person's levels, those of an earlier run from their records."""
    scans = find_person_scans(person, data)
    marks = [
        [path.name, path.stat().st_size, path.stat().st_mtime_ns]
        for scan in scans
        for path in (scan.label, scan.image, scan.parts)
        if path is not None
    ]
    maps: dict[Path, Image] = {}
    for level in person.levels:
        record = out / "records" / f"{_file_name(person, level)}.json"
        mark = {"files": marks, "ct": level in person.ct_levels, "remark": person.ct_remark}
        vertebra = _recorded(record, mark, out)
        if vertebra is None:
            vertebra = _cut_out(person, level, scans, maps, out)
            row = asdict(vertebra) | {
                name: relative_name(getattr(vertebra, name), out / PAIRS) for name in ("image", "label", "parts")
            }
            write_json(record, mark | {"vertebra": row})
        yield vertebra


def _recorded(record: Path, mark: dict[str, Any], out: Path) -> SetVertebra | None:
    try:
        saved = json.loads(record.read_text(encoding="utf-8"))
        vertebra = SetVertebra(**saved.pop("vertebra"))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    files = {
        name: str(out / getattr(vertebra, name)) for name in ("image", "label", "parts") if getattr(vertebra, name)
    }
    if saved != mark or not all(Path(path).is_file() for path in files.values()):
        return None
    return replace(vertebra, **files)


def _cut_out(
    person: Person, level: str, scans: Sequence[PersonScan], maps: dict[Path, Image], out: Path
) -> SetVertebra:
    """The first scan's vertebra that is whole, written; otherwise the reasons why there is none."""
    blank, reasons = SetVertebra(person.name, person.side, level), []
    for scan in scans:
        if scan.level not in (None, level):
            continue
        label = _read_once(scan.label, maps)
        number = _number(label, scan, level)
        if number is None:
            continue
        image = scan.image if level in person.ct_levels else None
        notes = _whole(label, number, image, f"{person.name} {level}")
        if notes:
            reasons.append(notes)
            continue
        kind, remark = ("simulated", "") if image is None else ("real", person.ct_remark)
        found = replace(blank, kind=kind, source=scan.label.name, notes=remark)
        return _write_vertebra(found, label, number, image, scan.parts, out)
    return replace(blank, notes="; ".join(reasons) or "no label map holds it")


def _read_once(path: Path, maps: dict[Path, Image]) -> Image:
    if path not in maps:
        maps[path] = _named_by_file(read_label(path), path)
    return maps[path]


def _named_by_file(image: Image, path: Path) -> Image:
    """An Image that notes call by its file's name: a list travels, and its notes with it."""
    return Image(image.data, image.grid, path.name)


def _number(label: Image, scan: PersonScan, level: str) -> int | None:
    number = TABLES[scan.table][level]
    if (label.data == number).any():
        return number
    present = np.unique(label.data[label.data > 0])
    return int(present[0]) if scan.level is not None and len(present) == 1 else None


def _whole(label: Image, number: int, image: Path | None, name: str) -> str:
    """Why a vertebra is not whole, or ""."""
    mask = Image((label.data == number).astype(np.float32), label.grid, label.name)
    volume, (low, high) = float(mask.data.sum() * np.prod(label.grid.spacing)) / 1000, PLAUSIBLE_ML
    if not low <= volume <= high:
        return f"{label.name}: label {number}: {volume:.1f} ml are no vertebra ({low} to {high})"
    source = mask if image is None else _around(_named_by_file(read_image(image), image), label, number)
    try:
        notes = extract(source, label, number).notes
    except InputError as error:
        notes = (str(error),)
    return "; ".join(notes)


def _write_vertebra(
    vertebra: SetVertebra, label: Image, number: int, image: Path | None, parts: Path | None, out: Path
) -> SetVertebra:
    paths = {
        end: out / "vertebrae" / f"{vertebra.person.replace(' ', '-')}_{vertebra.level}_{end}.nii.gz"
        for end in ("ct", "seg", "parts")
    }
    if image is None:
        simulated = simulate(label, number, f"{vertebra.person} {vertebra.level}")
        write_image(paths["ct"], simulated.image, simulated.grid)
    else:
        ct = _around(read_image(image), label, number)
        write_image(paths["ct"], ct.data, ct.grid)
    alone = _around(Image((label.data == number).astype(np.uint8), label.grid, label.name), label, number)
    write_image(paths["seg"], alone.data, alone.grid)
    vertebra = replace(vertebra, image=str(paths["ct"]), label=str(paths["seg"]))
    if parts is None:
        return vertebra
    own = parts_of_vertebra(read_label(parts), label, number)
    write_image(paths["parts"], own.data, own.grid)
    return replace(vertebra, parts=str(paths["parts"]))


def _around(image: Image, label: Image, number: int) -> Image:
    """The part of an image round one vertebra of a label map, on the image's own lattice."""
    box = bounding_box(label.data == number)
    corners = np.array(np.meshgrid(*[(side.start, side.stop - 1) for side in box])).reshape(3, -1).T
    index = image.grid.points_to_index(label.grid.index_to_points(corners))
    margin = np.ceil(_MARGIN_MM / image.grid.spacing) + 1
    start = np.clip(np.floor(index.min(axis=0)) - margin, 0, image.grid.shape).astype(int)
    stop = np.clip(np.ceil(index.max(axis=0)) + margin + 1, 0, image.grid.shape).astype(int)
    if np.any(stop - start < 2):
        raise InputError(f"{image.name}: the label lies outside of it; are they of the same scan?")
    return Image(image.data[tuple(map(slice, start, stop))], image.grid.crop(start, stop), image.name)


def _file_name(person: Person, level: str) -> str:
    return f"{person.name.replace(' ', '-')}_{level}"
