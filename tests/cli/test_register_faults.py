"""The command line of register.py: each fault is one line that names the file or option, and nothing is written."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from tests.cli.cases import crops, fails, nifti, scans, write_cases
from tests.registration.cases import NUMBER, save_network


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return write_cases(tmp_path_factory.mktemp("cases"))


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
    def full(image, file):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nibabel.Nifti1Image.to_stream", full)
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


def test_options_of_refinement_that_cannot_be(cases, tmp_path, capsys):
    moved = tmp_path / "moved.nii.gz"
    for options, words in (
        (("--refine", -1), "refine -1: must be a whole number"),
        (("--refine", "some"), "argument --refine: invalid int value: 'some'"),
        (("--refine", 0, "--smoothness", 2), "--smoothness 2: goes with refine"),
        (("--refine", 5, "--smoothness", -2), "smoothness -2: must be a number"),
        (("--refine", 5, "--smoothness", "nan"), "smoothness nan: must be a number"),
    ):
        assert words in fails(crops(cases, *options, moved=moved), capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--moving", "--fixed-seg", "--model", "--warp", "--level"])
def test_an_empty_value_is_no_path(cases, tmp_path, capsys, option):
    assert fails(crops(cases, option, "", moved=tmp_path / "m.nii"), capsys) == f"{option}: must not be empty"


def test_a_place_that_cannot_be_written_is_refused_before_any_work(cases, capsys, monkeypatch):
    monkeypatch.setattr("acsgreg_tf.cli.register.read_scan", lambda *arguments: pytest.fail("read a scan"))
    assert fails(scans(cases, "--level", "L3", moved="/proc/m.nii.gz"), capsys).startswith("/proc/m.nii.gz: ")


def test_a_whole_scan_needs_its_label_map(cases, tmp_path, capsys):
    scan = tmp_path / "scan.nii.gz"
    data = np.random.default_rng(0).normal(100, 30, (60, 60, 60)).astype(np.float32)
    nib.save(nib.Nifti1Image(data, np.diag([2, 2, 2, 1])), scan)
    message = fails(crops(cases, fixed=scan, moved=tmp_path / "m.nii"), capsys)
    assert message.startswith(f"{scan}: ") and "--fixed-seg" in message


@pytest.mark.parametrize("option", ["--warp", "--moved"])
def test_the_model_is_no_place_for_an_output(cases, tmp_path, capsys, option):
    model = tmp_path / ("model.h5" if option == "--warp" else "model.nii.gz")
    model.write_bytes(Path(cases["model"]).read_bytes())
    moved = model if option == "--moved" else tmp_path / "moved.nii.gz"
    others = () if option == "--moved" else (option, model)
    arguments = scans({**cases, "model": str(model)}, *others, moved=moved)
    assert f"{model}: {option} would replace an input" in fails(arguments, capsys)
    assert model.read_bytes() == Path(cases["model"]).read_bytes()


def test_a_page_needs_its_packages_before_any_work(cases, tmp_path, capsys, monkeypatch):
    moved = tmp_path / "moved.nii.gz"
    assert "page.txt: --report must end in .html" in fails(crops(cases, "--report", "page.txt", moved=moved), capsys)
    monkeypatch.setattr("acsgreg_tf.report.niivue.importlib.util.find_spec", lambda name: None)
    message = fails(crops(cases, "--report", tmp_path / "page.html", moved=moved), capsys)
    assert message.startswith("--report: needs the Python package ipyniivue") and ".[report]" in message
    assert not list(tmp_path.iterdir())
