"""Reads a table of people: who there is, on which side each stands, and which files are theirs."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from acsgreg_tf.anatomy.levels import LUMBAR
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import ending_of
from acsgreg_tf.io.tables import Row, read_table

__all__ = ["PEOPLE_COLUMNS", "SIDES", "Person", "PersonScan", "find_person_meshes", "find_person_scans", "read_people"]

PEOPLE_COLUMNS = ("person", "side", "files")
SIDES = ("train", "test")
_ENDINGS = (".nii", ".nii.gz", ".nrrd", ".mha")
_LABEL_WORDS = ("msk", "dseg", "mask", "seg", "label", "totalseg")
_PARTS_WORDS = ("seg-subreg", "subreg", "parts")


@dataclass(frozen=True)
class Person:
    """One line of the table.

    Attributes:
        name: What tables call the person.
        side: "train" or "test".
        patterns: Globs of the person's files, of their names or of their paths below the folder.
        levels: Those that may be used, of L1 to L5.
        ct_levels: Those whose CT may be used; the others count as labels without a CT.
        ct_remark: What the table says of the CT in parentheses.
    """

    name: str
    side: str
    patterns: tuple[str, ...]
    levels: tuple[str, ...] = LUMBAR
    ct_levels: tuple[str, ...] = LUMBAR
    ct_remark: str = ""


@dataclass(frozen=True)
class PersonScan:
    """The files of one scan that belong together.

    Attributes:
        label: Its label map.
        image: Its CT, or None.
        parts: Its map of parts, or None.
        level: The only level that the label map is about, or None.
        table: Name of the label map's table, "verse" or "totalsegmentator".
    """

    label: Path
    image: Path | None = None
    parts: Path | None = None
    level: str | None = None
    table: str = "verse"


def read_people(path: str | os.PathLike) -> list[Person]:
    """Read a table of people: CSV with the columns person, side and files, and optionally levels and ct.

    - person: A name; what stands in parentheses is a remark.
    - side: train or test.
    - files: Globs, separated by blanks, of file names or of paths below the folder; endings may be left out.
    - levels: Such as "L1-L3 L5"; other words and what stands in parentheses are remarks. Empty: L1 to L5.
    - ct: "yes", "no", or the levels whose CT may be used, with remarks likewise. Empty: yes.

    Raises:
        InputError: The file cannot be read, lacks a column or holds nobody; naming the line: an empty cell, an unknown
            side, a person who stands in two lines.
    """
    rows = read_table(path, PEOPLE_COLUMNS, "a table of people")
    if not rows:
        raise InputError(f"{path}: names nobody")
    people: dict[str, Person] = {}
    for row in rows:
        person = _person(row)
        if person.name in people:
            raise InputError(f"{row.where}: {person.name} stands in an earlier line too")
        people[person.name] = person
    return list(people.values())


def _person(row: Row) -> Person:
    where, cells = row
    name, files = _without_remarks(cells["person"]), tuple(cells["files"].split())
    for column, value in (("person", name), ("files", files)):
        if not value:
            raise InputError(f"{where}: {column} is empty")
    if cells["side"] not in SIDES:
        raise InputError(f"{where}: side must be {' or '.join(SIDES)}, not {cells['side']!r}")
    levels, ct = cells.get("levels", ""), _without_remarks(cells.get("ct", ""))
    usable = _levels(levels, where) if levels else LUMBAR
    word = ct.split()[0].lower() if ct else "yes"
    with_ct = {"yes": LUMBAR, "no": ()}.get(word)
    remark = "; ".join(re.findall(r"\(([^)]*)\)", cells.get("ct", "")))
    return Person(name, cells["side"], files, usable, _levels(ct, where) if with_ct is None else with_ct, remark)


def _without_remarks(text: str) -> str:
    return re.sub(r"\([^)]*\)", "", text).strip()


def _levels(text: str, where: str) -> tuple[str, ...]:
    """ "L1-L3 and T" as ("L1", "L2", "L3")."""
    chosen: set[str] = set()
    for first, last in re.findall(r"\b(L[1-5])(?:\s*-\s*(L[1-5]))?\b", _without_remarks(text)):
        low, high = LUMBAR.index(first), LUMBAR.index(last or first)
        chosen.update(LUMBAR[low : high + 1])
    if not chosen:
        raise InputError(f"{where}: {text!r} names none of {', '.join(LUMBAR)}")
    return tuple(level for level in LUMBAR if level in chosen)


def find_person_scans(person: Person, folder: str | os.PathLike) -> list[PersonScan]:
    """A person's scans by the names of their files; those with a CT first, then those with parts.

    A name's last word says what a file is: `_ct`; a label map with `_msk`, `_dseg`, `_mask`, `_seg`, `_label` or
    `_totalseg` (TotalSegmentator's numbers; the others hold VerSe's, or one vertebra alone); a map of parts with
    `seg-subreg` anywhere, or `_subreg` or `_parts` at the end. A word L1 to L5 says that a file is about that level
    alone. Files that share all other words belong together.

    Raises:
        InputError: Two files could be the same thing.
    """
    labels: dict[tuple[tuple[str, ...], str | None], Path] = {}
    others: dict[tuple[str, tuple[str, ...], str | None], Path] = {}
    for path in _files(person, Path(folder)):
        *words, last = _stem(path).split("_")
        level = next((word for word in words if word in LUMBAR), None)
        key = tuple(word for word in words if not word.startswith("seg") and word != level)
        if last.lower() == "ct":
            _put(others, ("image", key, level), path)
        elif any(word in _PARTS_WORDS for word in (*words, last)):
            _put(others, ("parts", key, level), path)
        elif last in _LABEL_WORDS:
            _put(labels, (key, level), path)
    scans = [
        PersonScan(path, others.get(("image", key, level)), others.get(("parts", key, level)), level, _table(path))
        for (key, level), path in labels.items()
    ]
    return sorted(scans, key=lambda scan: (scan.image is None, scan.parts is None, scan.label.name))


def find_person_meshes(person: Person, folder: str | os.PathLike) -> list[tuple[Path, str]]:
    """A person's meshes (.npz), each with its level, by the names of their files: `X_L3.npz`."""
    meshes = []
    for path in _files(person, Path(folder), (".npz",)):
        level = next((word for word in _stem(path).split("_") if word in person.levels), None)
        if level is not None:
            meshes.append((path, level))
    return meshes


def _put(files: dict[tuple, Path], key: tuple, path: Path) -> None:
    if key in files:
        raise InputError(f"{path}: could be the same thing as {files[key]}; move one of them")
    files[key] = path


def _files(person: Person, folder: Path, endings: tuple[str, ...] = _ENDINGS) -> Iterable[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder")
    for path in sorted(folder.rglob("*")):
        if ending_of(path) in endings and path.is_file():
            place = path.relative_to(folder).as_posix()
            names = (path.name, place, _stem(path), place[: -len(ending_of(path))])
            if any(fnmatch(name, pattern) for name in names for pattern in person.patterns):
                yield path


def _table(label: Path) -> str:
    return "totalsegmentator" if _stem(label).endswith("_totalseg") else "verse"


def _stem(path: Path) -> str:
    return path.name[: -len(ending_of(path))]
