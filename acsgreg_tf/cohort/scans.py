"""Which CT and which label map belong together: in a VerSe / BIDS tree, an nnU-Net data set, or a list of one's own."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from acsgreg_tf.anatomy.levels import TABLES
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import ending_of

__all__ = ["LAYOUTS", "Scan", "find_scans"]

LAYOUTS = ("verse", "nnunet", "csv")
# The note that `prepare` leaves in a folder of crops, which may lie among the scans.
PREPARED = "prepare.json"
ENDINGS = (".nii", ".nii.gz", ".nrrd", ".mha")
_LEVELS = {level for table in TABLES.values() for level in table}
# What a label map is called: VerSe's and TPTBox's msk, BIDS derivatives' dseg and mask, one file a level's seg.
_LABEL_SUFFIXES = ("msk", "dseg", "mask", "seg")
# Parts of a BIDS name that say what kind of derivative a file is, not of which scan.
_DERIVED = ("seg", "desc", "space", "mod")


@dataclass(frozen=True)
class Scan:
    """A CT and its label map, or what there is of them.

    Attributes:
        name: unlike any other scan's; names its crops.
        person: whose it is.
        image: path of the CT, or None.
        label: path of the label map, or None.
        level: the only level that the label map is about, or None: whatever its numbers say.
        number: that level's number in the label map, or None: as the label table says.
        fault: why it cannot be used, or "".
    """

    name: str
    person: str
    image: Path | None = None
    label: Path | None = None
    level: str | None = None
    number: int | None = None
    fault: str = ""


def find_scans(data, layout=None):
    """The Scans that a folder or a list holds, sorted by name. Only names are looked at; no image is read.

    Folders of crops that `prepare` made are passed over.

    - "verse": VerSe, or BIDS with derivatives, at any depth: `sub-X_.._ct` and `sub-X_.._seg-vert_msk` (or `_dseg`, `_mask`);
      `sub-X_L3_seg` is one level by itself. Other segmentations (`seg-subreg`, `seg-spine`) are passed over.
    - "nnunet": `imagesTr/CASE_0000` and `labelsTr/CASE`; each case counts as one person.
    - "csv": columns image and label, and optionally person, level and number (of the level in the label map); paths relative
      to the list's own folder. Without a person the label's name stands for it. An empty image is a label without a CT.

    Args:
        data: folder, or path of the CSV.
        layout: one of LAYOUTS; None tells them apart by what is there.

    Raises:
        InputError: nothing is there, nothing that fits the layout; of a list, naming the line: a line without image and
            label, an unknown level, a number that is none.
    """
    data = Path(data)
    if not data.exists():
        raise InputError(f"{data}: is not there")
    if layout is None:
        nnunet = any((data / name).is_dir() for name in ("imagesTr", "labelsTr"))
        layout = "csv" if data.is_file() else "nnunet" if nnunet else "verse"
    if (layout == "csv") != data.is_file():
        raise InputError(
            f"{data}: the layout {layout} is a {'file' if layout == 'csv' else 'folder'}, and this is not one"
        )
    scans = {"verse": _verse, "nnunet": _nnunet, "csv": _csv}[layout](data)
    if not scans:
        raise InputError(
            f"{data}: holds no scans: neither VerSe / BIDS names (.._ct and .._seg-vert_msk) nor nnU-Net's imagesTr and labelsTr"
        )
    return sorted(scans, key=lambda scan: scan.name)


def _files(folder):
    if not folder.is_dir():
        return []
    crops = {note.parent for note in folder.rglob(PREPARED)}
    return sorted(
        p
        for p in folder.rglob("*")
        if ending_of(p) in ENDINGS and not p.name.startswith(".") and crops.isdisjoint(p.parents) and p.is_file()
    )


def _stem(path):
    return path.name[: -len(ending_of(path))]


def _verse(folder):
    images, labels = {}, {}
    for path in _files(folder):
        *parts, suffix = _stem(path).split("_")
        if not parts or not parts[0].startswith("sub-"):
            continue
        entities = dict(part.split("-", 1) for part in parts if "-" in part)
        level = next((part for part in parts if part in _LEVELS), None)
        key = tuple(p for p in parts if p.split("-")[0] not in _DERIVED and p != level)
        if suffix.lower() == "ct" and level is None:
            images.setdefault(key, []).append(path)
        elif suffix in _LABEL_SUFFIXES and entities.get("seg", "vert") == "vert":
            labels.setdefault((key, level), []).append(path)
    scans = []
    for key in {*images, *(key for key, _ in labels)}:
        levels = [level for other, level in labels if other == key] or [None]
        for level in levels:
            found = {"image": images.get(key, []), "label": labels.get((key, level), [])}
            fault = "; ".join(
                f"{len(paths)} files could be its {what}: {', '.join(_short(paths, folder))}"
                for what, paths in found.items()
                if len(paths) > 1
            )
            name = "_".join([*key, *([level] if level else [])])
            paths = {what: paths[0] if paths else None for what, paths in found.items()}
            scans.append(Scan(name, key[0], **paths, level=level, fault=fault))
    return scans


def _short(paths, folder):
    return [path.relative_to(folder).as_posix() for path in paths]


def _nnunet(folder):
    images, labels = {}, {}
    for path in _files(folder / "imagesTr"):
        case, channel = re.fullmatch(r"(.*?)(?:_(\d{4}))?", _stem(path)).groups()
        if channel in (None, "0000"):  # one channel is the CT; others would be other contrasts
            images[case] = path
    for path in _files(folder / "labelsTr"):
        labels[_stem(path)] = path
    return [Scan(case, case, images.get(case), labels.get(case)) for case in {*images, *labels}]


def _csv(path):
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = [{key: (value or "").strip() for key, value in row.items() if key} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a list of scans ({error.__class__.__name__})") from error
    missing = {"image", "label"} - set(reader.fieldnames or ())
    if missing:
        raise InputError(f"{path}: lacks the column {' and '.join(sorted(missing))}")
    scans, taken = [], set()
    for line, row in enumerate(rows, start=2):
        image, label = (path.parent / row[what] if row[what] else None for what in ("image", "label"))
        level, number = row.get("level") or None, row.get("number") or None
        if image is None and label is None:
            raise InputError(f"{path}, line {line}: names neither an image nor a label")
        if level is not None and level not in _LEVELS:
            raise InputError(f"{path}, line {line}: level {level!r} is not the name of a vertebra, such as L3")
        if number is not None and not (number.isascii() and number.isdigit() and int(number) > 0 and level):
            raise InputError(
                f"{path}, line {line}: number {number!r} must be a label's number, and stand beside a level"
            )
        person = row.get("person") or _stem(label or image)
        name = re.sub(r"[^\w.-]+", "-", "_".join([person, *([level] if level else [])]))
        if name in taken:
            name = f"{name}_{line}"
        taken.add(name)
        scans.append(Scan(name, person, image, label, level, int(number) if number else None))
    return scans
