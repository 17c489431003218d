"""Surfaces in and out: faces and coordinates as trimesh and VTK write them, and what is refused."""

import numpy as np
import pytest

pytest.importorskip("vtkmodules", reason="surfaces need the vtk package")

import trimesh  # noqa: E402
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy  # noqa: E402
from vtkmodules.vtkIOGeometry import vtkSTLReader  # noqa: E402
from vtkmodules.vtkIOLegacy import vtkPolyDataReader, vtkPolyDataWriter  # noqa: E402

from acsgreg_tf.errors import InputError  # noqa: E402
from acsgreg_tf.io.surfaces import read_surface, surface_ending  # noqa: E402

SPHERE = trimesh.creation.icosphere(subdivisions=1, radius=20)
SPHERE.apply_translation((30, -20, 10))
POINTS, FACES = np.array(SPHERE.vertices), np.array(SPHERE.faces)


def make(folder, ending, header=None, scalars=False):
    """A sphere as another tool writes it: trimesh for STL and PLY, VTK's own writer (as in 3D Slicer) for VTK."""
    path = folder / f"sphere{ending}"
    plain = folder / "plain.stl"
    SPHERE.export(plain)
    if ending != ".vtk":
        SPHERE.export(path)
        return path
    reader = vtkSTLReader()
    reader.SetFileName(str(plain))
    reader.Update()
    plain.unlink()
    mesh = reader.GetOutput()
    if scalars:
        depth = numpy_to_vtk(np.arange(mesh.GetNumberOfPoints(), dtype=float), deep=True)
        depth.SetName("depth")
        mesh.GetPointData().AddArray(depth)
        normals = numpy_to_vtk(np.ones((mesh.GetNumberOfPoints(), 3)), deep=True)
        normals.SetName("Normals")
        mesh.GetPointData().SetNormals(normals)
    writer = vtkPolyDataWriter()
    writer.SetFileName(str(path))
    if header:
        writer.SetHeader(header)
    writer.SetInputData(mesh)
    writer.Write()
    return path


def sorted_rows(points):
    return points[np.lexsort(np.round(points, 3).T)]


@pytest.mark.parametrize("ending", [".stl", ".ply", ".vtk"])
@pytest.mark.parametrize("coordinates", ["RAS", "LPS", None])
def test_surfaces_keep_their_faces_and_coordinates(tmp_path, ending, coordinates):
    path = make(tmp_path, ending)
    flip = (-1, -1, 1) if coordinates == "LPS" else (1, 1, 1)
    surface = read_surface(path, coordinates)
    np.testing.assert_allclose(sorted_rows(surface.points * flip), sorted_rows(POINTS), atol=1e-4)
    target = tmp_path / f"moved{ending}"
    surface.write(target, surface.points + (5, 6, 7))
    assert f"SPACE={coordinates or 'RAS'}".encode() in target.read_bytes()[:300]
    again = read_surface(target)  # the header says which coordinates
    np.testing.assert_allclose(again.points, surface.points + (5, 6, 7), atol=1e-4)
    if ending != ".vtk":
        mesh = trimesh.load(target)
        expected = POINTS + np.multiply((5, 6, 7), flip)
        np.testing.assert_allclose(sorted_rows(np.array(mesh.vertices)), sorted_rows(expected), atol=1e-4)
        assert mesh.is_watertight and mesh.volume == pytest.approx(SPHERE.volume, rel=1e-4)


PLY = """ply
format ascii 1.0
element vertex 3
property float x
property float y
property float z
element face 1
property list uchar int vertex_indices
end_header
0 0 0
1 0 0
0 1 0
{}
"""
VTK = """# vtk DataFile Version 3.0
damaged
ASCII
DATASET POLYDATA
POINTS 3 float
0 0 0 1 0 0 0 1 0
POLYGONS {}
"""


OFFSETS = """# vtk DataFile Version 5.1
damaged
ASCII
DATASET POLYDATA
POINTS 3 float
0 0 0 1 0 0 0 1 0
POLYGONS 4 9
OFFSETS vtktypeint64
{} CONNECTIVITY vtktypeint64
0 1 2 0 1 2 0 1 2
"""


@pytest.mark.parametrize(
    "ending, text, faces",
    [
        (".vtk", OFFSETS, "0 3 1000000 9"),
        (".vtk", OFFSETS, "0 3 -6 9"),
        (".vtk", OFFSETS, "0 3 6 900"),
        (".ply", PLY, "3 0 1 1000000000"),
        (".ply", PLY, "3 0 1 -7"),
        (".vtk", VTK, "1 4\n3 0 1 1000000000"),
        (".vtk", VTK, "1 4\n2000000000 0 1 2"),
        (".vtk", VTK, "2000000000 8000000000\n3 0 1 2"),
    ],
)
def test_faces_of_points_that_are_not_there(tmp_path, ending, text, faces):
    """VTK itself ends the process with a segmentation fault on some of these, when they are read or written."""
    path = tmp_path / f"damaged{ending}"
    path.write_text(text.format(faces))
    with pytest.raises(InputError, match=f"damaged{ending}: cannot be read"):
        read_surface(path)


def test_slicers_header_counts(tmp_path):
    path = make(tmp_path, ".vtk", "3D Slicer output. SPACE=LPS")
    surface = read_surface(path)
    np.testing.assert_allclose(sorted_rows(surface.points * (-1, -1, 1)), sorted_rows(POINTS), atol=1e-4)
    with pytest.raises(InputError, match="says that it holds LPS coordinates, not RAS"):
        read_surface(path, "RAS")


def test_scalars_stay_and_normals_go(tmp_path):
    path = make(tmp_path, ".vtk", scalars=True)
    read_surface(path).write(path, read_surface(path).points * 2)
    reader = vtkPolyDataReader()
    reader.SetFileName(str(path))
    reader.ReadAllScalarsOn()
    reader.Update()
    data = reader.GetOutput().GetPointData()
    np.testing.assert_array_equal(vtk_to_numpy(data.GetArray("depth")), np.arange(len(POINTS)))
    assert data.GetNormals() is None and data.GetArray("Normals") is None
    assert reader.GetOutput().GetNumberOfCells() == len(FACES)


@pytest.mark.parametrize("channels", [3, 4])
def test_colours_of_ply_stay(tmp_path, channels):
    colours = np.random.default_rng(0).integers(0, 256, (len(POINTS), channels), np.uint8)
    mesh = trimesh.Trimesh(POINTS, FACES, vertex_colors=colours, process=False)
    mesh.export(tmp_path / "a.ply")
    surface = read_surface(tmp_path / "a.ply")
    surface.write(tmp_path / "b.ply", surface.points)
    result = trimesh.load(tmp_path / "b.ply", process=False)
    np.testing.assert_array_equal(result.visual.vertex_colors[:, :channels], colours)


@pytest.mark.parametrize("ending", [".stl", ".ply", ".vtk"])
def test_bad_files_are_named(tmp_path, capfd, ending):
    path = tmp_path / f"bad{ending}"
    for content in (b"", b"this is no surface\n" * 5):
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            read_surface(path)
        assert str(caught.value) == f"{path}: cannot be read as a surface, or holds none"
    with pytest.raises(InputError, match="no such file"):
        read_surface(tmp_path / f"none{ending}")
    assert capfd.readouterr().err == ""


def test_unknown_endings():
    with pytest.raises(InputError, match="unknown ending; surfaces are .stl, .ply, .vtk"):
        surface_ending("bone.obj")


def test_place_that_cannot_be_written(tmp_path):
    surface = read_surface(make(tmp_path, ".stl"))
    with pytest.raises(InputError, match="does not exist"):
        surface.write(tmp_path / "gone" / "x.stl", surface.points)
