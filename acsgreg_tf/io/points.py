"""Point lists: CSV, and 3D Slicer's .fcsv and .mrk.json. Read in RAS mm, written back in the file's own coordinates.

Only positions change; names, colours and every other column or entry stay.
"""

import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import one_line, write_text
from acsgreg_tf.io.transforms.itk import RAS_TO_LPS

__all__ = ["POINT_ENDINGS", "PointList", "check_coordinates", "point_ending", "read_points", "swap_if_lps"]

POINT_ENDINGS = (".csv", ".fcsv", ".mrk.json")
COORDINATES = ("RAS", "LPS")

# Slicer's older files number their coordinate systems.
_FCSV_SYSTEMS = {"RAS": "RAS", "LPS": "LPS", "0": "RAS", "1": "LPS"}
# Markups that are nothing but their control points; a plane or a box has a frame of its own.
_MARKUPS = ("Fiducial", "Line", "Angle", "Curve", "ClosedCurve")


@dataclass(frozen=True, eq=False)
class PointList:
    """The points of a file.

    Attributes:
        points: (N, 3) float64, RAS mm, in the file's order.
        write: Called as `write(path, points)`; writes a file like the one read (same kind, coordinates and entries)
            with these points, RAS mm.
    """

    points: np.ndarray
    write: Callable[[str | os.PathLike, np.ndarray], None] = field(repr=False)


def read_points(path: str | os.PathLike, coordinates: str | None = None) -> PointList:
    """Read a list of points.

    CSV: columns x, y, z by their header line, whatever its case, or else the first three. .fcsv and .mrk.json say which
    coordinates they hold (a .mrk.json that does not holds LPS, as its format says).

    Args:
        path: Ends in .csv, .fcsv or .mrk.json.
        coordinates: "RAS" or "LPS"; of a CSV, RAS by default. For another file it must agree with the file.

    Returns:
        A PointList.

    Raises:
        InputError: Naming the file: it is missing, unreadable or of another kind; it holds no points, a position that
            is not three finite numbers, a markup that is more than its points, or coordinates other than RAS and LPS
            or than `coordinates`.
    """
    ending = point_ending(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({one_line(error)})") from error
    if ending == ".mrk.json":
        return _read_markups(path, text, coordinates)
    return _read_table(path, text, coordinates, ending)


def point_ending(path: str | os.PathLike) -> str:
    """The ending of a point file, in lower case.

    Raises:
        InputError: It is none of `POINT_ENDINGS`.
    """
    for ending in POINT_ENDINGS:
        if str(path).lower().endswith(ending):
            return ending
    raise InputError(f"{path}: unknown ending; points are {', '.join(POINT_ENDINGS)}")


def check_coordinates(path: str | os.PathLike, stated: str | None, asked: str | None) -> str:
    """The coordinates of a point file.

    Args:
        path: For the message.
        stated: "RAS" or "LPS" as the file states, or None.
        asked: "RAS" or "LPS" as the user states, or None.

    Returns:
        Whichever is known; RAS if neither.

    Raises:
        InputError: The two disagree.
    """
    if stated and asked and stated != asked:
        raise InputError(f"{path}: says that it holds {stated} coordinates, not {asked}")
    return stated or asked or "RAS"


def swap_if_lps(points: np.ndarray, coordinates: str) -> np.ndarray:
    """Points (..., 3) from `coordinates` ("RAS" or "LPS") to RAS, or from RAS to them: it is the same flip."""
    return points @ RAS_TO_LPS[:3, :3] if coordinates == "LPS" else points


def _read_table(path: str | os.PathLike, text: str, coordinates: str | None, ending: str) -> PointList:
    """CSV, and .fcsv, which is CSV below a few lines of comment."""
    # A name in quotes may go on over several lines, so that only csv knows where a row ends.
    lines = io.StringIO(text, newline="").readlines()
    comments = [line.rstrip("\r\n") for line in lines if line.startswith("#")]
    try:
        rows = [row for row in csv.reader(line for line in lines if not line.startswith("#")) if any(row)]
    except csv.Error as error:
        raise InputError(f"{path}: cannot be read ({one_line(error)})") from error
    header = None
    if ending == ".fcsv":
        coordinates = check_coordinates(path, _fcsv_system(path, comments), coordinates)
        names = _comment(comments, "columns")
        columns = _columns(names.split(",")) if names else (1, 2, 3)
    else:
        coordinates = check_coordinates(path, None, coordinates)
        if rows and not any(_is_number(cell) for cell in rows[0][:3]):
            header = rows.pop(0)
        columns = _columns(header) if header else (0, 1, 2)
    if columns is None:
        raise InputError(f"{path}: its header line names no columns x, y and z")
    points = np.array([_position(path, [row[c] if c < len(row) else None for c in columns]) for row in rows])
    if not len(points):
        raise InputError(f"{path}: holds no points")

    def write(target: str | os.PathLike, points: np.ndarray) -> None:
        sheet = io.StringIO()
        writer = csv.writer(sheet, lineterminator="\n")
        if header:
            writer.writerow(header)
        for row, position in zip(rows, swap_if_lps(np.asarray(points), coordinates), strict=True):
            row = list(row)
            for column, value in zip(columns, position, strict=True):
                row[column] = f"{value:.6f}"
            writer.writerow(row)
        write_text(target, "".join(f"{line}\n" for line in comments) + sheet.getvalue())

    return PointList(swap_if_lps(points, coordinates), write)


def _read_markups(path: str | os.PathLike, text: str, coordinates: str | None) -> PointList:
    try:
        content = json.loads(text)
        markups = content["markups"]
        placed = []  # (control point, its coordinates)
        for markup in markups:
            system = _markup_system(path, markup, coordinates)
            # A point that was not placed yet has no position, or one that means nothing.
            defined = [p for p in markup["controlPoints"] if p.get("positionStatus", "defined") == "defined"]
            placed += [(point, system) for point in defined]
        points = np.array([swap_if_lps(_position(path, point["position"]), system) for point, system in placed])
    except InputError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as a Slicer markups file ({one_line(error)})") from error
    if not len(points):
        raise InputError(f"{path}: holds no points")

    def write(target: str | os.PathLike, points: np.ndarray) -> None:
        for (point, system), position in zip(placed, np.asarray(points), strict=True):
            point["position"] = swap_if_lps(position, system).tolist()
        for markup in markups:
            # Lengths and angles of the old points; Slicer measures anew.
            markup.pop("measurements", None)
        write_text(target, json.dumps(content, indent=4) + "\n")

    return PointList(points, write)


def _markup_system(path: str | os.PathLike, markup: dict[str, Any], coordinates: str | None) -> str:
    """The coordinates of one markup; refuses those whose points are not all of them, or not in mm."""
    if markup["type"] not in _MARKUPS:
        raise InputError(
            f"{path}: a markup of type {markup['type']} is more than its points; only "
            f"{', '.join(_MARKUPS)} can be carried over"
        )
    if markup.get("coordinateUnits", "mm") not in ("mm", ["mm"] * 3):
        raise InputError(f"{path}: holds coordinates in {markup['coordinateUnits']}, not in mm")
    stated = str(markup.get("coordinateSystem", "LPS")).upper()
    if stated not in COORDINATES:
        raise InputError(f"{path}: holds {stated} coordinates; only RAS and LPS are known")
    return check_coordinates(path, stated, coordinates)


def _fcsv_system(path: str | os.PathLike, comments: list[str]) -> str:
    stated = _comment(comments, "CoordinateSystem")
    if stated is None:
        raise InputError(f"{path}: does not say which coordinates it holds (no line '# CoordinateSystem = ...')")
    system = _FCSV_SYSTEMS.get(stated.upper())
    if system is None:
        raise InputError(f"{path}: holds {stated} coordinates; only RAS and LPS are known")
    return system


def _comment(comments: list[str], name: str) -> str | None:
    """The value of a line `# name = value`, or None."""
    for line in comments:
        key, sign, value = line.lstrip("# ").partition("=")
        if sign and key.strip() == name:
            return value.strip()
    return None


def _columns(names: Sequence[str]) -> tuple[int, ...] | None:
    """Indices of x, y and z among column names, or None."""
    names = [name.strip().lower() for name in names]
    return tuple(names.index(axis) for axis in "xyz") if set("xyz") <= set(names) else None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _position(path: str | os.PathLike, cells: Any) -> np.ndarray:
    try:
        position = np.array([] if isinstance(cells, str) else [float(cell) for cell in cells])
    except (TypeError, ValueError, OverflowError):
        position = np.array([])
    if position.shape != (3,) or not np.isfinite(position).all():
        raise InputError(f"{path}: {repr(cells)[:100]} is not a position of three numbers")
    return position
