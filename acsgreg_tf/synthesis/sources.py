"""Real vertebra shapes that a cohort is varied from, and the CSV list that names them."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acsgreg_tf.anatomy.levels import LUMBAR
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.distance import from_mesh
from acsgreg_tf.geometry.network import NETWORK_SHAPE
from acsgreg_tf.io.tables import Row, is_label_number, read_table
from acsgreg_tf.synthesis.shapes import load_label, load_parts

__all__ = ["COLUMNS", "Source", "read_sources"]

COLUMNS = ("path", "kind", "label", "level", "person", "axes")


@dataclass(frozen=True)
class Source:
    """A real vertebra in a file.

    Attributes:
        path: Of the file.
        kind: "label" (a label of a label map) or "mesh" (an .npz file with vertices and faces).
        label: Its number in the label map; None where the map has one label only.
        level: "L1" .. "L5".
        person: Whose it is.
        axes: Where a mesh's axes point ("LPS", "ALS", ...); "" for a label map, whose header says it.
        parts: Map of its parts (`anatomy.parts`), in the label map's frame, or None.
    """

    path: Path
    kind: str
    label: int | None
    level: str
    person: str
    axes: str
    parts: Path | None = None

    @property
    def name(self) -> str:
        """How a cohort's manifest names it: "person:level"."""
        return f"{self.person}:{self.level}"

    def load(self, shape: tuple[int, ...] = NETWORK_SHAPE) -> np.ndarray:
        """Its signed distance (X, Y, Z) in mm, negative inside, on the network grid of 1 mm.

        Raises:
            InputError: The file cannot be read, lacks the label, or the vertebra does not fit into `shape` mm.
        """
        if self.kind == "label":
            return load_label(self.path, self.label, shape=shape)
        try:
            with np.load(self.path) as arrays:
                vertices, faces = arrays["vertices"], arrays["faces"]
        except Exception as error:
            raise InputError(f"{self.path}: not an .npz file with vertices and faces ({error})") from error
        return from_mesh(vertices, faces, axes=self.axes, shape=shape, name=str(self.path))

    def load_parts(self, shape: tuple[int, ...] = NETWORK_SHAPE) -> np.ndarray | None:
        """The number of the nearest part at each voxel of `load`'s grid, uint8 (X, Y, Z), or None without a map.

        Raises:
            InputError: As `shapes.load_parts`.
        """
        return None if self.parts is None else load_parts(self.parts, self.path, self.label, shape=shape)


def read_sources(path: str | os.PathLike) -> list[Source]:
    """Read a CSV list with the columns path, kind, label, level, person, axes and optionally parts (see `Source`).

    Args:
        path: Of the list; paths in it are relative to its own folder.

    Raises:
        InputError: The list cannot be read, lacks a column or has no line; naming the line: a value that `Source` does
            not allow, or a missing file.
    """
    rows = read_table(path, COLUMNS, "a list of shapes")
    if not rows:
        raise InputError(f"{path}: holds no shape")
    return [_source(row, Path(path).parent) for row in rows]


def _source(row: Row, folder: Path) -> Source:
    where, cells = row
    if cells["kind"] not in ("label", "mesh"):
        raise InputError(f"{where}: kind must be label or mesh, not {cells['kind']!r}")
    if cells["level"] not in LUMBAR:
        raise InputError(f"{where}: level must be one of {', '.join(LUMBAR)}, not {cells['level']!r}")
    if not cells["person"]:
        raise InputError(f"{where}: person is empty")
    if cells["label"] and not is_label_number(cells["label"]):
        raise InputError(f"{where}: label must be a whole number, not {cells['label']!r}")
    if bool(cells["axes"]) != (cells["kind"] == "mesh"):
        raise InputError(f"{where}: axes are given for a mesh, and for a mesh only")
    file = folder / cells["path"]
    if not file.is_file():
        raise InputError(f"{where}: {file} is not there")
    label = int(cells["label"]) if cells["label"] else None
    return Source(file, cells["kind"], label, cells["level"], cells["person"], cells["axes"], _parts(row, folder))


def _parts(row: Row, folder: Path) -> Path | None:
    name = row.cells.get("parts", "")
    if not name:
        return None
    if row.cells["kind"] != "label":
        raise InputError(f"{row.where}: parts are given for a label map, not for a mesh")
    if not (folder / name).is_file():
        raise InputError(f"{row.where}: {folder / name} is not there")
    return folder / name
