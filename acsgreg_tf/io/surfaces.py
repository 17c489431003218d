"""Surfaces: STL, PLY and VTK (legacy poly data), through the vtk package.

vtk is large and optional, so this module is imported only when a surface is read.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkObject
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkFiltersCore import vtkTriangleFilter
from vtkmodules.vtkIOGeometry import vtkSTLReader, vtkSTLWriter
from vtkmodules.vtkIOLegacy import vtkPolyDataReader, vtkPolyDataWriter
from vtkmodules.vtkIOPLY import vtkPLYReader, vtkPLYWriter

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import atomic_path, ending_of
from acsgreg_tf.io.isolated import call_isolated
from acsgreg_tf.io.points import check_coordinates, swap_if_lps

__all__ = ["SURFACE_ENDINGS", "Surface", "read_surface", "surface_ending"]

_READERS = {".stl": vtkSTLReader, ".ply": vtkPLYReader, ".vtk": vtkPolyDataReader}
_WRITERS = {".stl": vtkSTLWriter, ".ply": vtkPLYWriter, ".vtk": vtkPolyDataWriter}
SURFACE_ENDINGS = tuple(_READERS)


@dataclass(frozen=True, eq=False)
class Surface:
    """The points and faces of a surface.

    Attributes:
        points: (N, 3) float64, RAS mm.
        triangles: (F, 3) int, indices of points; larger faces and strips are cut into triangles.
        write: Called as `write(path, points)`; writes the surface with these points, RAS mm, in the coordinates that
            it was read in, which its header then names as 3D Slicer does (SPACE=...). Faces, colours and scalars stay;
            normals, which would be wrong, are dropped.
    """

    points: np.ndarray
    triangles: np.ndarray = field(repr=False)
    write: Callable[[str | os.PathLike, np.ndarray], None] = field(repr=False)


def read_surface(path: str | os.PathLike, coordinates: str | None = None) -> Surface:
    """Read a surface.

    Args:
        path: Ends in .stl, .ply or .vtk.
        coordinates: "RAS" or "LPS", in which the file's points are; where its header names them (SPACE=LPS, as 3D
            Slicer writes) the two must agree. RAS if neither is known.

    Returns:
        A Surface.

    Raises:
        InputError: Naming the file: it is missing, of another kind, unreadable, empty, or holds other coordinates than
            `coordinates`.
    """
    ending = surface_ending(path)
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")
    coordinates = check_coordinates(path, _space(path), coordinates)
    mesh = _unpacked(call_isolated(_read_packed, path, ending))
    points = vtk_to_numpy(mesh.GetPoints().GetData())
    dtype = points.dtype
    points = points.astype(float)
    if not np.isfinite(points).all():
        raise InputError(f"{path}: holds a point that is NaN or infinite")

    def write(target: str | os.PathLike, points: np.ndarray) -> None:
        moved = vtkPolyData()
        moved.DeepCopy(mesh)
        values = np.ascontiguousarray(swap_if_lps(np.asarray(points), coordinates), dtype=dtype)
        moved.GetPoints().SetData(numpy_to_vtk(values, deep=True))
        for data in (moved.GetPointData(), moved.GetCellData()):
            data.SetNormals(None)
            data.RemoveArray("Normals")
        _write(target, moved, f"SPACE={coordinates}")

    return Surface(swap_if_lps(points, coordinates), _triangles(mesh), write)


def _triangles(mesh: vtkPolyData) -> np.ndarray:
    cut = vtkTriangleFilter()
    cut.SetInputData(mesh)
    cut.PassVertsOff()
    cut.PassLinesOff()
    _quietly(cut.Update)
    return vtk_to_numpy(cut.GetOutput().GetPolys().GetConnectivityArray()).reshape(-1, 3).astype(int)


def _read_packed(path: str | os.PathLike, ending: str) -> Any:
    """Read a surface and write it anew, in VTK's format and in memory; VTK crashes on some damaged files."""
    reader: Any = _READERS[ending]()
    reader.SetFileName(str(path))
    if ending == ".vtk":
        reader.ReadAllScalarsOn()
        reader.ReadAllVectorsOn()
        reader.ReadAllFieldsOn()
    _quietly(reader.Update)
    mesh = reader.GetOutput()
    count = mesh.GetNumberOfPoints()
    if not count or not mesh.GetNumberOfCells():
        raise InputError(f"{path}: cannot be read as a surface, or holds none")
    for cells in (mesh.GetVerts(), mesh.GetLines(), mesh.GetPolys(), mesh.GetStrips()):
        starts, corners = vtk_to_numpy(cells.GetOffsetsArray()), vtk_to_numpy(cells.GetConnectivityArray())
        if (np.diff(starts) < 0).any() or (len(starts) and (starts[0], starts[-1]) != (0, len(corners))):
            raise InputError(f"{path}: cannot be read as a surface (its faces do not follow each other)")
        if len(corners) and (corners.min() < 0 or corners.max() >= count):
            raise InputError(f"{path}: cannot be read as a surface (a face has a corner that is none of its points)")
    for data, length in ((mesh.GetPointData(), count), (mesh.GetCellData(), mesh.GetNumberOfCells())):
        for number in range(data.GetNumberOfArrays()):
            if data.GetAbstractArray(number).GetNumberOfTuples() != length:
                raise InputError(f"{path}: cannot be read as a surface (it holds too few or too many values)")
    writer = vtkPolyDataWriter()
    writer.SetFileTypeToBinary()
    writer.SetInputData(mesh)
    writer.WriteToOutputStringOn()
    _quietly(writer.Write)
    return writer.GetOutputStdString()


def _unpacked(content: Any) -> vtkPolyData:
    reader = vtkPolyDataReader()
    reader.ReadFromInputStringOn()
    reader.SetBinaryInputString(content, len(content))
    reader.ReadAllScalarsOn()
    reader.ReadAllVectorsOn()
    reader.ReadAllFieldsOn()
    _quietly(reader.Update)
    return reader.GetOutput()


def surface_ending(path: str | os.PathLike) -> str:
    """The ending of a surface file, in lower case.

    Raises:
        InputError: It is none of `SURFACE_ENDINGS`.
    """
    ending = ending_of(path)
    if ending not in SURFACE_ENDINGS:
        raise InputError(f"{path}: unknown ending; surfaces are {', '.join(SURFACE_ENDINGS)}")
    return ending


def _write(path: str | os.PathLike, mesh: vtkPolyData, header: str) -> None:
    ending = surface_ending(path)
    writer: Any = _WRITERS[ending]()
    if ending == ".ply":
        writer.AddComment(header)
        for colours in ("RGB", "RGBA"):  # which VTK drops unless asked
            if mesh.GetPointData().HasArray(colours):
                writer.SetArrayName(colours)
                writer.SetEnableAlpha(colours == "RGBA")
    else:
        writer.SetHeader(f"acsgreg_tf output. {header}")
    if ending == ".vtk":
        writer.SetFileVersion(42)  # the newest that every reader knows
    writer.SetFileTypeToBinary()
    writer.SetInputData(mesh)
    with atomic_path(path) as temporary:
        writer.SetFileName(str(temporary))
        _quietly(writer.Write)
        if not temporary.exists():
            raise InputError(f"{path}: cannot be written")


def _space(path: str | os.PathLike) -> str | None:
    """The coordinates that a file's header names, or None."""
    with open(path, "rb") as file:
        match = re.search(rb"SPACE=(RAS|LPS)", file.read(1024))
    return match[1].decode() if match else None


def _quietly(work: Callable[[], object]) -> None:
    """Run `work` without VTK's paragraphs about faults; the caller checks its result."""
    before = vtkObject.GetGlobalWarningDisplay()
    vtkObject.GlobalWarningDisplayOff()
    try:
        work()
    finally:
        vtkObject.SetGlobalWarningDisplay(before)
