"""The command line of register.py: its outputs and options, and faults in one line before any work."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from acsgreg_tf.cli import common
from acsgreg_tf.cli.register import main
from acsgreg_tf.io.images import Image
from acsgreg_tf.io.transforms import read_transform
from tests.registration.cases import NUMBER, grid_about, interrupt_refinement, save, save_network, scan

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "register.py"
FIXED, MOVING = (12.5, -30.0, 55.5), (-200.0, 40.5, 7.0)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Paths of two oblique scans with their label maps, of masked crops, and of a small network."""
    folder = tmp_path_factory.mktemp("cases")
    grids = {
        "fixed": (FIXED, grid_about(FIXED, (40, 36, 36), (1, 1.2, 1.4), (0.2, -0.1, 0.3), "PIR")),
        "moving": (MOVING, grid_about(MOVING, (30, 50, 40), (1.5, 0.9, 1.3), (-0.3, 0.2, 0.1), "LSA")),
    }
    paths = {"model": save_network(folder / "small.h5")}
    for name, (place, grid) in grids.items():
        ct, label = scan(grid, place)
        paths[name] = save(ct, folder / f"{name}_ct.nii.gz")
        paths[f"{name}_seg"] = save(label, folder / f"{name}_seg.nii.gz")
        crop = np.where(label.data == NUMBER, np.clip((ct.data + 200) / 1700, 0, 1), 0)
        paths[f"{name}_crop"] = save(Image(crop.astype(np.float32), grid), folder / f"{name}_crop.nii.gz")
    return paths


def scans(cases, *options, moved):
    return [
        *("--fixed", cases["fixed"], "--fixed-seg", cases["fixed_seg"]),
        *("--moving", cases["moving"], "--moving-seg", cases["moving_seg"]),
        *("--model", cases["model"], "--moved", str(moved), *map(str, options)),
    ]


def crops(cases, *options, moved, **others):
    paths = {
        name: others.get(name, cases[name if name == "model" else f"{name}_crop"])
        for name in ("fixed", "moving", "model")
    }
    return [
        *("--fixed", str(paths["fixed"]), "--moving", str(paths["moving"]), "--model", str(paths["model"])),
        *("--moved", str(moved), *map(str, options)),
    ]


def test_every_output_of_one_level(cases, tmp_path, capsys):
    out = {
        name: tmp_path / f"{name}" for name in ("moved.nii.gz", "seg.mha", "warp.h5", "inverse.nii.gz", "affine.tfm")
    }
    code = main(
        scans(
            cases,
            *("--level", "L3", "--moved-seg", out["seg.mha"], "--warp", out["warp.h5"]),
            *("--inverse-warp", out["inverse.nii.gz"], "--affine", out["affine.tfm"]),
            *("--metrics", tmp_path / "m.json", "--figure", tmp_path / "f.png"),
            moved=out["moved.nii.gz"],
        )
    )
    shown = capsys.readouterr()
    assert code == 0 and shown.err == ""
    lines = shown.out.splitlines()
    assert lines[0] == "L3: moving_ct.nii.gz to fixed_ct.nii.gz"
    assert lines[1].split() == ["before", "affine", "deformable"]
    assert [line.split()[0] for line in lines[2:]] == ["LNCC", "NCC", "Dice", "ASSD", "folds", lines[7].split()[0]]
    assert lines[7].endswith(" s")
    assert len(list(tmp_path.iterdir())) == 7
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")

    fixed, moved = nib.load(cases["fixed"]), nib.load(out["moved.nii.gz"])
    np.testing.assert_allclose(moved.affine, fixed.affine, atol=1e-4)
    assert moved.shape == fixed.shape
    # SimpleITK makes the same of the files that were written, and the measures say so.
    transform = sitk.ReadTransform(str(out["warp.h5"]))
    itk = sitk.Resample(sitk.ReadImage(cases["moving"]), sitk.ReadImage(cases["fixed"]), transform)
    assert np.abs(sitk.GetArrayFromImage(itk).T - moved.get_fdata()).max() < 1
    seg = sitk.GetArrayFromImage(sitk.ReadImage(str(out["seg.mha"]))).T
    assert set(np.unique(seg)) == {0, NUMBER}
    target = np.asarray(nib.load(cases["fixed_seg"]).dataobj) == NUMBER
    measures = json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))
    dice = 2 * (target & (seg > 0)).sum() / (target.sum() + (seg > 0).sum())
    assert measures["dice_on_fixed_grid"] == pytest.approx(dice, abs=1e-6)
    assert measures["level"] == "L3" and measures["label"] == {"fixed": NUMBER, "moving": NUMBER}

    inverse = read_transform(out["inverse.nii.gz"])
    points = read_transform(out["warp.h5"]).apply(np.add(FIXED, np.eye(3) * 4))
    assert np.linalg.norm(inverse.apply(points) - np.add(FIXED, np.eye(3) * 4), axis=1).max() < 0.2
    assert inverse.grid.shape == nib.load(cases["moving"]).shape
    affine = read_transform(out["affine.tfm"])
    assert np.linalg.norm(affine.apply(FIXED) - MOVING) < 6


@pytest.mark.parametrize("warp", ["warp.npz", "warp.nii.gz"])
def test_masked_crops_without_labels(cases, tmp_path, capsys, warp):
    assert main(crops(cases, "--warp", tmp_path / warp, moved=tmp_path / "moved.nrrd")) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0] == "moving_crop.nii.gz to fixed_crop.nii.gz"
    assert "Dice" not in shown.out and shown.err == ""
    fixed = nib.load(cases["fixed_crop"])
    assert read_transform(tmp_path / warp).grid.shape == fixed.shape
    assert sitk.ReadImage(str(tmp_path / "moved.nrrd")).GetSize() == fixed.shape


def test_all_levels_that_both_scans_hold(cases, tmp_path, capsys):
    options = ("--levels", "all", "--metrics", tmp_path / "{level}.json")
    assert main(scans(cases, *options, moved=tmp_path / "moved.nii.gz")) == 0
    names = ["L2.json", "L3.json", "moved_L2.nii.gz", "moved_L3.nii.gz"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for level, number in (("L2", 21), ("L3", 22)):
        measures = json.loads((tmp_path / f"{level}.json").read_text(encoding="utf-8"))
        assert measures["level"] == level and measures["label"] == {"fixed": number, "moving": number}
    shown = capsys.readouterr().out
    assert shown.index("L2: moving") < shown.index("L3: moving")


def test_some_levels_of_a_table_of_ones_own(cases, tmp_path):
    options = ("--levels", "V", "--table", "U=21,V=22")
    assert main(scans(cases, *options, moved=tmp_path / "moved.nii.gz")) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["moved_V.nii.gz"]


def renumbered(cases, path):
    """The moving label map as TotalSegmentator numbers it."""
    image = nib.load(cases["moving_seg"])
    data = np.asarray(image.dataobj)
    nib.save(nib.Nifti1Image(np.select([data == 22, data == 21], [29, 30]).astype(np.int16), image.affine), path)
    return {**cases, "moving_seg": str(path)}


def test_labels_of_two_tools(cases, tmp_path, capsys):
    """One map numbers L3 as VerSe does, the other as TotalSegmentator: by level, all levels, or number and number."""
    moved, other = tmp_path / "moved.nii.gz", renumbered(cases, tmp_path / "seg.nii.gz")
    assert main(scans(cases, "--level", "L3", moved=moved)) == 0
    expected = np.asarray(nib.load(moved).dataobj)
    for options in (("--level", "L3", "--moving-table", "totalsegmentator"), ("--label", 22, "--moving-label", 29)):
        assert main(scans(other, *options, "--metrics", tmp_path / "m.json", moved=moved)) == 0
        np.testing.assert_array_equal(nib.load(moved).dataobj, expected)
        measures = json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))
        assert measures["label"] == {"fixed": 22, "moving": 29} and "dice" in measures
    options = ("--levels", "all", "--moving-table", "totalsegmentator")
    assert main(scans(other, *options, moved=tmp_path / "{level}.nii.gz")) == 0
    np.testing.assert_array_equal(nib.load(tmp_path / "L3.nii.gz").dataobj, expected)
    assert (tmp_path / "L2.nii.gz").exists()
    capsys.readouterr()
    refusals = {
        ("--label", 22): f"{other['moving_seg']}: does not hold label 22",
        ("--level", "L3", "--moving-label", 29): "--moving-label 29: goes with",
        ("--label", 22, "--moving-table", "verse"): "--moving-table verse: goes with a level",
        ("--level", "L3", "--moving-table", "L2=30"): "level 'L3': not in the label table",
    }
    for options, words in refusals.items():
        assert words in fails(scans(other, *options, moved=moved), capsys)


def test_warnings_are_one_line_and_flagged(cases, tmp_path, capsys):
    ct, seg = (nib.load(cases[name]) for name in ("fixed", "fixed_seg"))
    window = (slice(None), slice(0, 18))
    short = [tmp_path / "ct.nii.gz", tmp_path / "seg.nii.gz"]
    for image, path in zip((ct, seg), short, strict=True):
        nib.save(image.slicer[window], path)
    options = [
        *crops(cases, "--fixed-seg", short[1], fixed=short[0], moved=tmp_path / "moved.nii"),
        "--label",
        str(NUMBER),
    ]
    assert main([*options, "--metrics", str(tmp_path / "m.json")]) == 0
    shown = capsys.readouterr()
    assert shown.err.startswith(f"warning: {short[1]}: label 22: reaches the edge of {short[0]}")
    assert shown.err.count("\n") == 1
    assert "not whole: the fixed vertebra" in shown.out
    assert json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))["cut"] == {"fixed": True, "moving": False}


def fails(arguments, capsys):
    """The one line on stderr of a run that must fail with code 2."""
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ") and shown.err.count("\n") == 1
    return shown.err[len("error: ") : -1]


def nifti(data, affine=None):
    image = nib.Nifti1Image(np.asarray(data, np.float32), np.eye(4) if affine is None else affine)
    return image


def with_singular_affine():
    image = nifti(np.ones((8, 8, 8)))
    image.header["srow_x"] = (1, 0, 0, 0)
    image.header["srow_y"] = (1, 0, 0, 0)
    image.header["srow_z"] = (0, 0, 1, 0)
    image.header["sform_code"] = 1
    return image


def spoilt(value):
    data = np.ones((8, 8, 8))
    data[2, 3, 4] = value
    return data


BAD_IMAGES = {
    "truncated": (None, "cannot be read"),
    "text": (b"this is no image", "cannot be read"),
    "4-D": (nifti(np.ones((8, 8, 8, 2))), "a 3-D volume is needed"),
    "2-D": (nifti(np.ones((8, 8))), "a 3-D volume is needed"),
    "NaN": (nifti(spoilt(np.nan)), "1 of 512 voxels are NaN or infinite"),
    "infinite": (nifti(spoilt(np.inf)), "1 of 512 voxels are NaN or infinite"),
    "zero": (nifti(np.zeros((8, 8, 8))), "every voxel is zero"),
    "singular": (with_singular_affine(), "singular"),
}


@pytest.mark.parametrize("which", ["fixed", "moving"])
@pytest.mark.parametrize("fault", BAD_IMAGES)
def test_bad_images(cases, tmp_path, capsys, fault, which):
    image, expected = BAD_IMAGES[fault]
    path = tmp_path / "bad.nii.gz"
    if image is None:
        path.write_bytes(Path(cases["fixed"]).read_bytes()[:5000])
    elif isinstance(image, bytes):
        path.write_bytes(image)
    elif fault == "singular":
        path = tmp_path / "bad.nii"
        image.to_filename(path)
        raw = bytearray(path.read_bytes())
        raw[252:254] = (0).to_bytes(2, "little")  # no qform to fall back on
        raw[254:256] = (1).to_bytes(2, "little")
        raw[280:328] = np.array([1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0], "<f4").tobytes()
        path.write_bytes(raw)
    else:
        nib.save(image, path)
    message = fails(crops(cases, moved=tmp_path / "moved.nii.gz", **{which: path}), capsys)
    assert message.startswith(f"{path}: ") and expected in message
    assert list(tmp_path.iterdir()) == [path]


def test_missing_files_and_models(cases, tmp_path, capsys):
    moved = tmp_path / "moved.nii.gz"
    for which in ("fixed", "moving", "model"):
        missing = tmp_path / "none.nii.gz"
        assert fails(crops(cases, moved=moved, **{which: missing}), capsys) == f"{missing}: no such file"
    arguments = scans(cases, moved=moved)
    arguments[arguments.index(cases["moving_seg"])] = str(tmp_path / "seg.nii.gz")
    assert fails(arguments, capsys) == f"{tmp_path / 'seg.nii.gz'}: no such file"
    assert not list(tmp_path.iterdir())


def test_models_that_do_not_fit(cases, tmp_path, capsys):
    moved = tmp_path / "moved.nii.gz"
    model = tmp_path / "model.h5"
    model.write_text("no model")
    assert f"{model}: not an HDF5 file" in fails(crops(cases, moved=moved, model=model), capsys)
    model.write_bytes(Path(cases["model"]).read_bytes()[:20000])
    assert f"{model}: a damaged or truncated" in fails(crops(cases, moved=moved, model=model), capsys)
    save_network(model, spoilt=True)
    assert "holds weights that are NaN" in fails(crops(cases, moved=moved, model=model), capsys)
    assert list(tmp_path.iterdir()) == [model]


def test_labels_and_levels_that_are_not_there(cases, tmp_path, capsys):
    moved = tmp_path / "moved.nii.gz"
    seg = cases["fixed_seg"]
    assert f"{seg}: does not hold label 7" in fails(scans(cases, "--label", 7, moved=moved), capsys)
    assert f"{seg}: does not hold label 24" in fails(scans(cases, "--level", "L5", moved=moved), capsys)
    assert fails(scans(cases, "--level", "L9", moved=moved), capsys).startswith("--level 'L9': not in the label table")
    assert fails(scans(cases, "--level", "L3", "--table", "X", moved=moved), capsys).startswith("label table 'X'")
    assert fails(scans(cases, moved=moved), capsys).startswith(f"{seg}: holds the labels 21, 22; say which one")
    assert fails(scans(cases, "--levels", "L3,L4", moved=moved), capsys).startswith(f"{seg}: does not hold label 23")
    message = fails(scans(cases, "--levels", "all", "--table", "A=1", moved=moved), capsys)
    assert "no level is in both label maps" in message and seg in message
    assert fails(scans(cases, "--level", "L3", "--label", 22, moved=moved), capsys).startswith("argument --label")
    assert "level L3: needs a label map" in fails(crops(cases, "--level", "L3", moved=moved), capsys)
    assert "needs --fixed-seg and --moving-seg" in fails(crops(cases, "--levels", "all", moved=moved), capsys)
    empty = tmp_path / "empty.nii.gz"
    nib.save(nifti(np.zeros((8, 8, 8))), empty)
    assert f"{empty}: the label map is empty" in fails(crops(cases, "--fixed-seg", empty, moved=moved), capsys)
    nib.save(nifti(np.full((8, 8, 8), 0.5)), empty)
    assert "must hold whole numbers" in fails(crops(cases, "--fixed-seg", empty, moved=moved), capsys)
    assert list(tmp_path.iterdir()) == [empty]


def test_a_label_of_another_scan(cases, tmp_path, capsys):
    arguments = crops(cases, "--fixed-seg", cases["moving_seg"], "--label", NUMBER, moved=tmp_path / "m.nii")
    assert f"lies outside of the image {cases['fixed_crop']}" in fails(arguments, capsys)
    assert not list(tmp_path.iterdir())


def test_outputs_that_cannot_be_written(cases, tmp_path, capsys):
    gone = tmp_path / "gone" / "moved.nii.gz"
    assert f"{gone}: the output folder {gone.parent} does not exist" in fails(crops(cases, moved=gone), capsys)
    moved = tmp_path / "moved.nii.gz"
    for option, name in (("--warp", "w.h5"), ("--metrics", "m.json"), ("--figure", "f.png"), ("--affine", "a.npy")):
        assert "does not exist" in fails(crops(cases, option, gone.parent / name, moved=moved), capsys)
    assert "does not exist" in fails(
        scans(cases, "--levels", "all", "--warp", gone.parent / "w.h5", moved=moved), capsys
    )
    assert not list(tmp_path.iterdir())


def test_folder_without_permission(cases, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("acsgreg_tf.io.files.os.access", lambda *arguments: False)  # root may write anywhere
    moved = tmp_path / "moved.nii.gz"
    assert f"the output folder {tmp_path} cannot be written" in fails(crops(cases, moved=moved), capsys)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_leaves_no_half_output(cases, tmp_path, capsys, monkeypatch):
    def full(image, path):
        Path(path).write_bytes(b"half of it")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("acsgreg_tf.io.images.nib.save", full)
    moved = tmp_path / "moved.nii.gz"
    assert f"{moved}: cannot be written" in fails(crops(cases, moved=moved), capsys)
    assert not list(tmp_path.iterdir())


def test_endings_and_contradictions(cases, tmp_path, capsys):
    moved = tmp_path / "moved.nii.gz"
    cases_and_words = (
        (("--warp", tmp_path / "w.tfm"), "unknown ending"),
        (("--affine", tmp_path / "a.h5"), "unknown ending"),
        (("--figure", tmp_path / "f.bmp"), "--figure must end in .png"),
        (("--metrics", tmp_path / "m.txt"), "--metrics must end in .json"),
        (("--moved-seg", tmp_path / "s.nii"), "--moved-seg needs --moving-seg"),
        (("--warp", moved), "is given for both --moved and --warp"),
        (("--gpu", "one"), "--gpu one: must be a GPU's number"),
        (("--unknown",), "unrecognized arguments: --unknown"),
    )
    for options, words in cases_and_words:
        assert words in fails(crops(cases, *options, moved=moved), capsys)
    assert "--moved must end in" in fails(crops(cases, moved=tmp_path / "moved.jpg"), capsys)
    before = Path(cases["fixed_crop"]).read_bytes()
    assert "--moved would replace an input" in fails(crops(cases, moved=cases["fixed_crop"]), capsys)
    assert Path(cases["fixed_crop"]).read_bytes() == before
    assert "the following arguments are required" in fails([], capsys)
    assert not list(tmp_path.iterdir())


def test_dicom_folder_with_two_series(cases, tmp_path, capsys):
    folder = tmp_path / "dicom"
    folder.mkdir()
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for series in (1, 2):
        for number in range(2):
            image = sitk.Image(8, 8, 1, sitk.sitkInt16)
            image.SetMetaData("0020|000e", f"1.2.3.{series}")
            image.SetMetaData("0008|0018", f"1.2.3.{series}.{number}")
            image.SetMetaData("0020|0032", f"0\\0\\{number}")
            writer.SetFileName(str(folder / f"{series}_{number}.dcm"))
            writer.Execute(image)
    message = fails(crops(cases, fixed=folder, moved=tmp_path / "moved.nii.gz"), capsys)
    assert message.startswith(f"{folder}: holds 2 DICOM series, give a folder with one")


def test_sform_and_qform_that_disagree(cases, tmp_path, capsys):
    """The documented choice: the sform counts, and a warning says so."""
    image = nib.load(cases["fixed_crop"])
    image.set_qform(np.diag([2.0, 2, 2, 1]), code=1)
    image.set_sform(image.affine, code=1)
    nib.save(image, tmp_path / "two.nii.gz")
    moved = tmp_path / "moved.nii.gz"
    assert main(crops(cases, fixed=tmp_path / "two.nii.gz", moved=moved)) == 0
    warning = capsys.readouterr().err
    assert warning.startswith(f"warning: {tmp_path / 'two.nii.gz'}: sform and qform disagree")
    assert warning.count("\n") == 1
    np.testing.assert_allclose(nib.load(moved).affine, nib.load(cases["fixed_crop"]).affine, atol=1e-4)


# refinement


@pytest.fixture
def small_box(monkeypatch):
    """Without a network, the box that the made-up vertebra just fits."""
    monkeypatch.setattr("acsgreg_tf.registration.pipeline.NETWORK_SHAPE", (24, 24, 16))


def without_network(cases, *options, moved):
    arguments = scans(cases, *options, moved=moved)
    arguments[arguments.index(cases["model"])] = "none"
    return arguments


@pytest.mark.trains
def test_refinement_without_a_network(cases, tmp_path, capsys, small_box):
    options = ("--level", "L3", "--refine", 10, "--smoothness", 2, "--metrics", tmp_path / "m.json")
    assert main(without_network(cases, *options, "--warp", tmp_path / "warp.h5", moved=tmp_path / "moved.nii.gz")) == 0
    shown = capsys.readouterr()
    assert shown.err == "" and "refined in 10 steps: objective " in shown.out
    measures = json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))
    assert measures["model"] == "none" and measures["refinement"]["smoothness"] == 2
    assert measures["dice"]["deformable"] > 0.9 and measures["folds"]["count"] == 0
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.trains
def test_ctrl_c_while_refining_writes_the_best_so_far(cases, tmp_path, capsys, small_box, monkeypatch):
    """On the first of two levels: its files are whole, the second is not begun."""
    interrupt_refinement(monkeypatch, after=4)
    options = ("--levels", "L3,L2", "--refine", 10, "--metrics", tmp_path / "m.json", "--figure", tmp_path / "f.png")
    options += ("--moved-seg", tmp_path / "seg.nii.gz", "--inverse-warp", tmp_path / "inverse.nii.gz")
    assert main(without_network(cases, *options, moved=tmp_path / "moved.nii.gz")) == 130
    shown = capsys.readouterr()
    assert shown.err.splitlines() == ["stopped: the best so far is written", "stopped"]
    (level,) = [line.split(":")[0] for line in shown.out.splitlines() if "moving_ct" in line]
    endings = ("f", "inverse", "m", "moved", "seg")
    assert sorted(path.name.split(".")[0] for path in tmp_path.iterdir()) == [f"{name}_{level}" for name in endings]
    measures = json.loads((tmp_path / f"m_{level}.json").read_text(encoding="utf-8"))
    assert measures["refinement"]["stopped"] and measures["refinement"]["steps"] == 4
    assert nib.load(tmp_path / f"moved_{level}.nii.gz").get_fdata().any()
    assert read_transform(tmp_path / f"inverse_{level}.nii.gz").grid.shape == nib.load(cases["moving"]).shape


@pytest.mark.trains
def test_the_affine_alone_has_no_objective(cases, tmp_path, capsys, small_box):
    options = ("--level", "L3", "--metrics", tmp_path / "m.json")
    assert main(without_network(cases, *options, moved=tmp_path / "moved.nii.gz")) == 0
    shown = capsys.readouterr().out
    assert "the affine alone\n" in shown and "nan" not in shown
    assert json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))["refinement"]["objective"]["start"] is None


def test_the_networks_own_affine(cases, tmp_path, capsys):
    """It is off here; fitted to the surfaces it is not, and --no-fit-affine says which of the two is written."""
    result = {}
    for name, options in {"fitted": (), "own": ("--no-fit-affine",)}.items():
        metrics, affine = tmp_path / f"{name}.json", tmp_path / f"{name}.npy"
        options += ("--level", "L3", "--metrics", metrics, "--affine", affine)
        assert main(scans(cases, *options, moved=tmp_path / "moved.nii.gz")) == 0
        result[name] = json.loads(metrics.read_text(encoding="utf-8")), np.load(affine)
    assert result["own"][0]["affine_fit_mm"] is None and result["fitted"][0]["affine_fit_mm"] > 0.2
    assert result["own"][0]["dice"]["affine"] < result["fitted"][0]["dice"]["affine"] - 0.01
    assert not np.allclose(result["own"][1], result["fitted"][1], atol=1e-2)
    arguments = without_network(cases, "--level", "L3", "--no-fit-affine", moved=tmp_path / "none.nii.gz")
    assert "--fit-affine False: without a network" in fails(arguments, capsys)


def test_options_of_refinement_that_cannot_be(cases, tmp_path, capsys):
    moved = tmp_path / "moved.nii.gz"
    for options, words in (
        (("--refine", -1), "refine -1: must be a whole number"),
        (("--refine", "some"), "argument --refine: invalid int value: 'some'"),
        (("--smoothness", 2), "--smoothness 2: goes with refine"),
        (("--refine", 5, "--smoothness", -2), "smoothness -2: must be a number"),
        (("--refine", 5, "--smoothness", "nan"), "smoothness nan: must be a number"),
    ):
        assert words in fails(crops(cases, *options, moved=moved), capsys)
    assert not list(tmp_path.iterdir())


# as a command


def test_help_starts_without_tensorflow():
    heavy = ("keras", "tensorflow", "matplotlib")
    code = (
        "import sys; from acsgreg_tf.cli.register import main\n"
        f"try: main(['--help'])\nfinally: print([name for name in {heavy} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=SCRIPT.parent.parent)
    assert result.stdout.endswith("[]\n") and result.returncode == 0
    options = (
        "--fixed",
        "--moving",
        "--moved",
        "--fixed-seg",
        "--levels",
        "--inverse-warp",
        "--gpu",
        "--refine",
        "--smoothness",
    )
    for option in options:
        assert option in result.stdout


@pytest.mark.slow
def test_the_script_from_another_folder_prints_nothing_else(cases, tmp_path):
    command = [sys.executable, SCRIPT, *crops(cases, "-g", "-1", moved=tmp_path / "moved.nii.gz")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert result.stderr == "" and result.returncode == 0
    assert result.stdout.startswith("moving_crop.nii.gz to fixed_crop.nii.gz\n")
    assert [path.name for path in tmp_path.iterdir()] == ["moved.nii.gz"]


@pytest.mark.tensorflow
def test_a_gpu_that_is_not_there(monkeypatch, tf):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # put back afterwards
    with pytest.raises(ValueError, match="--gpu 3: TensorFlow finds 0 GPUs of that number"):
        common.start_backend("3")


@pytest.mark.parametrize("backend", ["nonesuch", "torch"])
def test_a_backend_that_is_not_there_is_one_line(cases, tmp_path, backend):
    # An empty place of a module stands for one that is not installed.
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n", encoding="utf-8")
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, SCRIPT, *crops(cases, moved=tmp_path / "moved.nii.gz")]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 2 and len(result.stderr.strip().splitlines()) == 1
    assert result.stderr.startswith(f"error: KERAS_BACKEND={backend}: ") and "torch" in result.stderr


def test_json_has_no_numbers_that_json_lacks(tmp_path):
    common.write_json(tmp_path / "m.json", {"a": [float("nan"), 1], "b": {"c": float("inf")}})
    assert json.loads((tmp_path / "m.json").read_text(encoding="utf-8")) == {"a": [None, 1], "b": {"c": None}}
