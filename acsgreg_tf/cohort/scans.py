"""Which CT and which label map belong together: in a VerSe / BIDS tree, an nnU-Net data set, or a list of one's own."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from acsgreg_tf.anatomy.levels import TABLES
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import ending_of
from acsgreg_tf.io.tables import Row, is_label_number, read_table

__all__ = ["LAYOUTS", "PREPARED", "ScanFiles", "find_scans"]

LAYOUTS = ("verse", "nnunet", "csv")
# The note that `prepare` leaves in a folder of crops, which may lie among the scans.
PREPARED = "prepare.json"
ENDINGS = (".nii", ".nii.gz", ".nrrd", ".mha")
_LEVELS = {level for table in TABLES.values() for level in table}
# The suffix of a label map: VerSe's and TPTBox's msk, BIDS derivatives' dseg and mask, seg for one level a file.
_LABEL_SUFFIXES = ("msk", "dseg", "mask", "seg")
# Parts of a BIDS name that say what kind of derivative a file is, not of which scan.
_DERIVED = ("seg", "desc", "space", "mod")


@dataclass(frozen=True)
class ScanFiles:
    """The files of one scan: a CT and its label map, or what there is of them.

    Attributes:
        name: Unlike any other scan's; names its crops.
        person: Whose it is.
        image: Path of the CT, or None.
        label: Path of the label map, or None.
        level: The only level that the label map is about, or None: whatever its numbers say.
        number: That level's number in the label map, or None: as the label table says.
        fault: Why it cannot be used, or "".
    """

    name: str
    person: str
    image: Path | None = None
    label: Path | None = None
    level: str | None = None
    number: int | None = None
    fault: str = ""


def find_scans(data: str | os.PathLike, layout: str | None = None) -> list[ScanFiles]:
    """Find the scans in a folder or a list by the names of their files; no image is read.

    Folders of crops that `prepare` made are skipped.

    - "verse": VerSe, or BIDS with derivatives, at any depth: `sub-X_.._ct` and `sub-X_.._seg-vert_msk` (or `_dseg`,
      `_mask`); `sub-X_L3_seg` is one level by itself. Other segmentations (`seg-subreg`, `seg-spine`) are ignored.
    - "nnunet": `imagesTr/CASE_0000` and `labelsTr/CASE`; each case counts as one person.
    - "csv": columns image and label, and optionally person, level and number (of the level in the label map); paths
      relative to the list's own folder. Without a person the label's name stands for it. An empty image is a label
      without a CT.

    Args:
        data: Folder, or path of the CSV.
        layout: One of LAYOUTS; None tells them apart by what is there.

    Returns:
        One ScanFiles a scan, sorted by name.

    Raises:
        InputError: The path does not exist or holds nothing that fits the layout; naming the line of a list: a line
            without image and label, an unknown level, an invalid number.
    """
    data = Path(data)
    if not data.exists():
        raise InputError(f"{data}: is not there")
    if layout is None:
        nnunet = any((data / name).is_dir() for name in ("imagesTr", "labelsTr"))
        layout = "csv" if data.is_file() else "nnunet" if nnunet else "verse"
    if (layout == "csv") != data.is_file():
        kind = "file" if layout == "csv" else "folder"
        raise InputError(f"{data}: the layout {layout} is a {kind}, and this is not one")
    scans = {"verse": _verse, "nnunet": _nnunet, "csv": _listed}[layout](data)
    if not scans:
        raise InputError(
            f"{data}: holds no scans: neither VerSe / BIDS names (.._ct and .._seg-vert_msk) nor nnU-Net's imagesTr "
            "and labelsTr"
        )
    return sorted(scans, key=lambda scan: scan.name)


def _image_files(folder: Path) -> list[Path]:
    """The images in a folder at any depth, without those of prepared cohorts."""
    if not folder.is_dir():
        return []
    crops = {note.parent for note in folder.rglob(PREPARED)}
    return sorted(
        p
        for p in folder.rglob("*")
        if ending_of(p) in ENDINGS and not p.name.startswith(".") and crops.isdisjoint(p.parents) and p.is_file()
    )


def _stem(path: Path) -> str:
    return path.name[: -len(ending_of(path))]


def _verse(folder: Path) -> list[ScanFiles]:
    images: dict[tuple[str, ...], list[Path]] = {}
    labels: dict[tuple[str, ...], dict[str | None, list[Path]]] = {}
    for path in _image_files(folder):
        *parts, suffix = _stem(path).split("_")
        if not parts or not parts[0].startswith("sub-"):
            continue
        entities = dict(part.split("-", 1) for part in parts if "-" in part)
        level = next((part for part in parts if part in _LEVELS), None)
        key = tuple(p for p in parts if p.split("-")[0] not in _DERIVED and p != level)
        if suffix.lower() == "ct" and level is None:
            images.setdefault(key, []).append(path)
        elif suffix in _LABEL_SUFFIXES and entities.get("seg", "vert") == "vert":
            labels.setdefault(key, {}).setdefault(level, []).append(path)
    return [
        _bids_scan(folder, key, level, images.get(key, []), maps)
        for key in {*images, *labels}
        for level, maps in labels.get(key, {None: []}).items()
    ]


def _bids_scan(
    folder: Path, key: tuple[str, ...], level: str | None, images: list[Path], labels: list[Path]
) -> ScanFiles:
    """A scan from all files that may be its CT or its label map; more than one of a kind is its fault."""
    fault = "; ".join(
        f"{len(paths)} files could be its {what}: {', '.join(p.relative_to(folder).as_posix() for p in paths)}"
        for what, paths in (("image", images), ("label", labels))
        if len(paths) > 1
    )
    image, label = (paths[0] if paths else None for paths in (images, labels))
    return ScanFiles("_".join([*key, *([level] if level else [])]), key[0], image, label, level, fault=fault)


def _nnunet(folder: Path) -> list[ScanFiles]:
    images, labels = {}, {}
    for path in _image_files(folder / "imagesTr"):
        stem = _stem(path)
        channel = re.search(r"_(\d{4})$", stem)
        if channel is None or channel[1] == "0000":  # one channel is the CT; others would be other contrasts
            images[stem[: channel.start()] if channel else stem] = path
    for path in _image_files(folder / "labelsTr"):
        labels[_stem(path)] = path
    return [ScanFiles(case, case, images.get(case), labels.get(case)) for case in {*images, *labels}]


def _listed(path: Path) -> list[ScanFiles]:
    return list(_unlike_names(path, read_table(path, ("image", "label"), "a list of scans")))


def _unlike_names(path: Path, rows: list[Row]) -> Iterator[ScanFiles]:
    """The scans of a list; a name that an earlier line has gets the number of the line."""
    taken = set()
    for number, row in enumerate(rows, start=2):
        scan = _scan_of(path.parent, row)
        name = scan.name if scan.name not in taken else f"{scan.name}_{number}"
        taken.add(name)
        yield ScanFiles(name, scan.person, scan.image, scan.label, scan.level, scan.number)


def _scan_of(folder: Path, row: Row) -> ScanFiles:
    where, cells = row
    image, label = (folder / cells[what] if cells[what] else None for what in ("image", "label"))
    level, number = cells.get("level") or None, cells.get("number") or None
    path = label or image
    if path is None:
        raise InputError(f"{where}: names neither an image nor a label")
    if level is not None and level not in _LEVELS:
        raise InputError(f"{where}: level {level!r} is not the name of a vertebra, such as L3")
    if number is not None and not (is_label_number(number) and level):
        raise InputError(f"{where}: number {number!r} must be a label's number, and stand beside a level")
    person = cells.get("person") or _stem(path)
    name = re.sub(r"[^\w.-]+", "-", "_".join([person, *([level] if level else [])]))
    return ScanFiles(name, person, image, label, level, int(number) if number else None)
