"""Real vertebra shapes that a cohort is varied from, and the CSV list that names them."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acsgreg_tf.anatomy.levels import LUMBAR
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.distance import load_mesh
from acsgreg_tf.geometry.network import NETWORK_SHAPE
from acsgreg_tf.synthesis.shapes import load_label

COLUMNS = ("path", "kind", "label", "level", "person", "axes")


@dataclass(frozen=True)
class Source:
    """A real vertebra: a label of a label map (`kind` 'label') or a mesh in an .npz file ('mesh')."""

    path: Path
    kind: str
    label: int | None
    level: str
    person: str
    axes: str

    @property
    def name(self):
        return f"{self.person}:{self.level}"

    def load(self, shape=NETWORK_SHAPE):
        """Its signed distance (X, Y, Z) in mm on the network grid. Raises InputError as `shapes` does."""
        if self.kind == "label":
            return load_label(self.path, self.label, shape=shape)
        try:
            with np.load(self.path) as arrays:
                vertices, faces = arrays["vertices"], arrays["faces"]
        except Exception as error:
            raise InputError(f"{self.path}: not an .npz file with vertices and faces ({error})") from error
        return load_mesh(vertices, faces, axes=self.axes, shape=shape, name=self.path)


def read_list(path):
    """The sources of a CSV list with the columns path, kind, label, level, person, axes.

    Paths are relative to the list's own folder. `label` may be empty where a label map has one label only;
    `axes` says where a mesh's axes point ('LPS', 'ALS', ...) and is empty for label maps, whose headers say
    it.

    Raises InputError, naming the line, for anything else.
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable list of shapes ({error})") from error
    if not rows or not set(COLUMNS) <= set(rows[0]):
        raise InputError(f"{path}: a list of shapes has a line of the names {','.join(COLUMNS)} and a line a shape")
    return [_source(row, path, number) for number, row in enumerate(rows, start=2)]


def _source(row, path, number):
    where = f"{path}, line {number}"
    row = {key: (row[key] or "").strip() for key in COLUMNS}
    if row["kind"] not in ("label", "mesh"):
        raise InputError(f"{where}: kind must be label or mesh, not {row['kind']!r}")
    if row["level"] not in LUMBAR:
        raise InputError(f"{where}: level must be one of {', '.join(LUMBAR)}, not {row['level']!r}")
    if not row["person"]:
        raise InputError(f"{where}: person is empty")
    if row["label"] and not row["label"].isdigit():
        raise InputError(f"{where}: label must be a whole number, not {row['label']!r}")
    if bool(row["axes"]) != (row["kind"] == "mesh"):
        raise InputError(f"{where}: axes are given for a mesh, and for a mesh only")
    file = path.parent / row["path"]
    if not file.is_file():
        raise InputError(f"{where}: {file} is not there")
    label = int(row["label"]) if row["label"] else None
    return Source(file, row["kind"], label, row["level"], row["person"], row["axes"])
