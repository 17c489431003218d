"""register.py --spine and --jacobian: what is written, what the metrics say, and what is refused."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest

from acsgreg_tf.cli.register import main
from acsgreg_tf.io.transforms import read_transform
from tests.cli.cases import MOVING, fails, scans, write_cases
from tests.registration.cases import NUMBER


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return write_cases(tmp_path_factory.mktemp("cases"))


@pytest.fixture(scope="module")
def spine(cases, tmp_path_factory):
    """One run of --spine with all of its outputs."""
    folder = tmp_path_factory.mktemp("spine")
    outputs = {
        "moved-seg": "seg.nii.gz",
        "warp": "warp.h5",
        "inverse-warp": "inverse.h5",
        "affine": "rigid.tfm",
        "poses": "poses.csv",
        "jacobian": "jacobian.nii.gz",
        "metrics": "metrics.json",
    }
    options = [text for name, path in outputs.items() for text in (f"--{name}", folder / path)]
    assert main(scans(cases, "--spine", "--levels", "L3", *options, moved=folder / "moved.nii.gz")) == 0
    return folder


def test_all_outputs_lie_on_the_fixed_grid(cases, spine):
    fixed = nib.load(cases["fixed"])
    for name in ("moved", "seg", "jacobian"):
        image = nib.load(spine / f"{name}.nii.gz")
        assert image.shape == fixed.shape
        np.testing.assert_allclose(image.affine, fixed.affine, atol=1e-4)
    assert np.isfinite(nib.load(spine / "jacobian.nii.gz").get_fdata()).all()


def test_the_two_transforms_undo_each_other(cases, spine):
    there = read_transform(spine / "warp.h5")
    back = read_transform(spine / "inverse.h5")
    image = nib.load(cases["fixed_seg"])
    points = nib.affines.apply_affine(image.affine, np.argwhere(image.get_fdata() == 22))
    moved = there.apply(points)
    assert np.linalg.norm(moved.mean(axis=0) - MOVING) < 6
    assert np.linalg.norm(back.apply(moved) - points, axis=1).mean() < 0.1


def test_metrics_and_table_agree(spine):
    summary = json.loads((spine / "metrics.json").read_text())
    own = summary["levels"]["L3"]
    assert own["method"] == "network and refinement" and own["label"] == {"fixed": 22, "moving": 22}
    assert own["difference_mm"] < 0.05
    # One of the small vertebra's 900 voxels is 0.001 of Dice.
    assert abs(own["dice"]["own"] - own["dice"]["spine"]) < 0.005
    assert summary["folds"]["count"] == 0 and summary["overlap_ml"]["spine"] == 0
    assert set(summary["volume_change_percent"]["L3"]) == {"whole"}
    with open(spine / "poses.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["name"] == "L3" and row["kind"] == "level"
    assert float(row["superior_mm"]) == pytest.approx(summary["motions"]["L3"]["superior_mm"], abs=1e-3)


def test_jacobian_of_one_vertebra(cases, tmp_path):
    options = ("--level", "L3", "--transform", "rigid", "--jacobian", tmp_path / "jacobian.nii.gz")
    assert main(scans(cases, *options, moved=tmp_path / "moved.nii.gz")) == 0
    assert np.abs(nib.load(tmp_path / "jacobian.nii.gz").get_fdata()).max() < 1e-3


def test_a_jacobian_replaces_nothing(cases, tmp_path, capsys):
    moved = tmp_path / "moved.nii.gz"
    for path, fault in ((cases["fixed"], "would replace an input"), (moved, "is given for both")):
        options = ("--level", "L3", "--jacobian", path)
        assert fault in fails(scans(cases, *options, moved=moved), capsys)
    options = ("--level", "L3", "--jacobian", tmp_path / "no" / "j.nii")
    assert "does not exist" in fails(scans(cases, *options, moved=moved), capsys)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("--poses", "x.csv"), "--spine"),
        (("--spine", "--level", "L3"), "--level"),
        (("--spine", "--figure", "x.png"), "--figure"),
        (("--spine", "--poses", "x.txt"), "x.txt"),
        (("--jacobian", "x.png"), "x.png"),
        (("--spine", "--moving-parts", "x.nii.gz"), "--moving-parts"),
    ],
)
def test_options_that_do_not_go_together(cases, tmp_path, capsys, options, fault):
    assert fault in fails(scans(cases, *options, moved=tmp_path / "moved.nii.gz"), capsys)


def test_a_spine_of_all_levels_goes_with_a_table(cases, tmp_path):
    options = ("--spine", "--moving-table", "L2=21,L3=22", "--transform", "rigid", "--metrics", tmp_path / "m.json")
    assert main(scans(cases, *options, moved=tmp_path / "moved.nii.gz")) == 0
    assert set(json.loads((tmp_path / "m.json").read_text())["levels"]) == {"L2", "L3"}


def test_a_spine_needs_both_label_maps(cases, tmp_path, capsys):
    arguments = ["--fixed", cases["fixed"], "--moving", cases["moving"], "--moving-seg", cases["moving_seg"]]
    assert "--fixed-seg" in fails([*arguments, "--spine", "--moved", str(tmp_path / "m.nii.gz")], capsys)


def test_labels_stand_alone(cases, tmp_path):
    """No CT on either side: the moved image is the moving label map's mask."""
    arguments = ["--fixed-seg", cases["fixed_seg"], "--moving-seg", cases["moving_seg"], "--level", "L3"]
    metrics = tmp_path / "metrics.json"
    outputs = ["--moved", str(tmp_path / "moved.nii.gz"), "--metrics", str(metrics), "--model", cases["model"]]
    assert main([*arguments, *outputs]) == 0
    assert json.loads(metrics.read_text())["dice"]["deformable"] > 0.3
    assert nib.load(tmp_path / "moved.nii.gz").get_fdata().max() == pytest.approx(1)


def test_labels_alone_are_refined_without_the_network(cases, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("acsgreg_tf.registration.pipeline.NETWORK_SHAPE", (24, 24, 16))
    arguments = ["--fixed-seg", cases["fixed_seg"], "--moving-seg", cases["moving_seg"], "--level", "L3"]
    arguments += ["--moved", str(tmp_path / "moved.nii.gz")]
    metrics = tmp_path / "metrics.json"
    assert main([*arguments, "--refine", "2", "--metrics", str(metrics)]) == 0
    summary = json.loads(metrics.read_text())
    assert (summary["model"], summary["method"], summary["refinement"]["steps"]) == ("none", "refinement", 2)
    assert "without the network" in capsys.readouterr().out
    # A network that is named is used.
    assert main([*arguments, "--model", cases["model"], "--metrics", str(metrics)]) == 0
    assert json.loads(metrics.read_text())["method"] == "network and refinement"


def test_neither_image_nor_labels(cases, tmp_path, capsys):
    arguments = ["--fixed", cases["fixed"], "--moved", str(tmp_path / "moved.nii.gz")]
    assert "--moving" in fails(arguments, capsys)


def surfaces(folder):
    """Two closed surfaces of the made-up vertebra, the moving one larger and elsewhere, as STL files."""
    vtk_core = pytest.importorskip("vtkmodules.vtkCommonDataModel", reason="surfaces need the vtk package")
    from skimage.measure import marching_cubes
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkIOGeometry import vtkSTLWriter

    from acsgreg_tf.geometry import network_grid
    from tests.registration.cases import depth

    grid = network_grid((0, 0, 0), (48, 48, 48), 0.6)
    vertices, faces, _, _ = marching_cubes(depth(grid.points()), 0.0, gradient_direction="ascent")
    points = grid.index_to_points(vertices)
    for name, placed in (("fixed", points), ("moving", 1.1 * points + [30, -20, 10])):
        mesh, held, cells = vtk_core.vtkPolyData(), vtkPoints(), vtk_core.vtkCellArray()
        held.SetData(numpy_to_vtk(placed, deep=True))
        for face in faces:
            cells.InsertNextCell(3, [int(corner) for corner in face])
        mesh.SetPoints(held)
        mesh.SetPolys(cells)
        writer = vtkSTLWriter()
        writer.SetFileTypeToBinary()
        writer.SetFileName(str(folder / f"{name}.stl"))
        writer.SetInputData(mesh)
        writer.Write()
    return folder / "fixed.stl", folder / "moving.stl"


def test_surfaces_alone_come_back_with_their_vertices_in_order(tmp_path):
    fixed, moving = surfaces(tmp_path)
    arguments = ["--fixed", fixed, "--moving", moving, "--transform", "similarity", "--model", "none"]
    outputs = ["--moved", tmp_path / "moved.stl", "--metrics", tmp_path / "m.json", "--warp", tmp_path / "w.h5"]
    assert main([str(argument) for argument in (*arguments, *outputs)]) == 0
    from acsgreg_tf.io.surfaces import read_surface

    before, after, target = (read_surface(path) for path in (moving, tmp_path / "moved.stl", fixed))
    assert np.array_equal(after.triangles, before.triangles)
    # The two were one surface, so each vertex has its place.
    assert np.linalg.norm(after.points - target.points, axis=1).mean() < 0.3
    assert json.loads((tmp_path / "m.json").read_text())["dice"]["deformable"] > 0.9


def test_a_surface_has_the_level_of_the_other_side(cases, tmp_path):
    fixed, moving = surfaces(tmp_path)
    scan = ["--moving", cases["moving"], "--moving-seg", cases["moving_seg"], "--level", "L3"]
    options = ["--transform", "rigid", "--moved", str(tmp_path / "moved.nii.gz"), "--metrics", str(tmp_path / "m.json")]
    assert main(["--fixed", str(fixed), *scan, "--model", "none", *options]) == 0
    assert json.loads((tmp_path / "m.json").read_text())["label"] == {"fixed": 1, "moving": NUMBER}


def test_a_moved_surface_needs_a_moving_one(cases, tmp_path, capsys):
    assert "--moved is a surface" in fails(scans(cases, moved=tmp_path / "moved.stl"), capsys)
    fixed, moving = surfaces(tmp_path)
    arguments = ["--fixed", str(fixed), "--moving", str(moving), "--moved", str(tmp_path / "moved.ply")]
    assert "must end in .stl" in fails(arguments, capsys)


def test_a_surface_that_is_not_closed(tmp_path, capsys):
    fixed, moving = surfaces(tmp_path)
    data = moving.read_bytes()
    count = int.from_bytes(data[80:84], "little") // 2
    moving.write_bytes(data[:80] + count.to_bytes(4, "little") + data[84 : 84 + 50 * count])
    arguments = ["--fixed", str(fixed), "--moving", str(moving), "--moved", str(tmp_path / "moved.stl")]
    assert "not closed" in fails(arguments, capsys)
