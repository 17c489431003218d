"""register.py --bids: names, places and descriptions of a BIDS derivative."""

import json
import re
import shutil

import nibabel as nib
import numpy as np
import pytest

from acsgreg_tf.cli.register import main
from acsgreg_tf.io.transforms import read_transform
from tests.cli.cases import FIXED, fails, read_metrics, scans, write_cases

# Of BIDS 1.10: entities in their order, alphanumeric labels, one suffix.
NAME = re.compile(
    r"sub-[a-zA-Z0-9]+(_ses-[a-zA-Z0-9]+)?(_space-[a-zA-Z0-9]+)?(_from-[a-zA-Z0-9]+_to-[a-zA-Z0-9]+_mode-image)?"
    r"(_desc-[a-zA-Z0-9]+)?_(ct|dseg|xfm|metrics|registration)\.(nii\.gz|h5|json|png)"
)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return write_cases(tmp_path_factory.mktemp("cases"))


@pytest.fixture(scope="module")
def named(cases, tmp_path_factory):
    """The same scans with BIDS's names."""
    folder = tmp_path_factory.mktemp("raw")
    names = {"fixed": "sub-01_ct", "fixed_seg": "sub-01_seg-vert_msk", "moving": "sub-02_ses-b_ct"}
    names["moving_seg"] = "sub-02_ses-b_seg-vert_msk"
    return cases | {
        key: shutil.copy(cases[key], folder / f"{name}.nii.gz") and str(folder / f"{name}.nii.gz")
        for key, name in names.items()
    }


def bids(cases, root, *options):
    arguments = scans(cases, "--bids", root, *options, moved="")
    at = arguments.index("--moved")
    return arguments[:at] + arguments[at + 2 :]


def files_of(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_one_level(named, tmp_path):
    root = tmp_path / "derivatives" / "acsgreg"
    assert main(bids(named, root, "--level", "L3")) == 0
    files = files_of(root)
    assert files == [
        "dataset_description.json",
        "sub-02/ses-b/anat/sub-02_ses-b_from-01_to-02sesb_mode-image_desc-L3_xfm.h5",
        "sub-02/ses-b/anat/sub-02_ses-b_from-02sesb_to-01_mode-image_desc-L3_metrics.json",
        "sub-02/ses-b/anat/sub-02_ses-b_from-02sesb_to-01_mode-image_desc-L3_xfm.h5",
        "sub-02/ses-b/anat/sub-02_ses-b_space-01_desc-L3moved_ct.json",
        "sub-02/ses-b/anat/sub-02_ses-b_space-01_desc-L3moved_ct.nii.gz",
        "sub-02/ses-b/anat/sub-02_ses-b_space-01_desc-L3moved_dseg.json",
        "sub-02/ses-b/anat/sub-02_ses-b_space-01_desc-L3moved_dseg.nii.gz",
        "sub-02/ses-b/figures/sub-02_ses-b_from-02sesb_to-01_mode-image_desc-L3_registration.png",
    ]
    assert all(NAME.fullmatch(name.split("/")[-1]) for name in files[1:])
    description = json.loads((root / files[0]).read_text())
    assert description["DatasetType"] == "derivative" and description["GeneratedBy"][0]["Name"] == "acsgreg_tf"
    assert {"Name", "BIDSVersion"} <= set(description)
    sidecar = json.loads((root / files[4]).read_text())
    assert sidecar["SpatialReference"].endswith("/sub-01_ct.nii.gz") and "sub-02_ses-b_ct" in sidecar["Sources"][0]
    assert nib.load(root / files[5]).shape == nib.load(named["fixed"]).shape
    assert read_metrics(root / files[2])["level"] == "L3"
    there, back = read_transform(root / files[3]), read_transform(root / files[1])  # moving onto fixed is a pull
    points = np.add(FIXED, np.eye(3))
    assert np.linalg.norm(back.apply(there.apply(points)) - points, axis=1).max() < 0.5


def test_several_levels_beside_each_other_and_names_of_ones_own(named, tmp_path):
    root, own = tmp_path / "out", tmp_path / "{level}.json"
    assert main(bids(named, root, "--levels", "all", "--metrics", own)) == 0
    names = [name.split("/")[-1] for name in files_of(root)]
    assert sum("_desc-L2" in name for name in names) == sum("_desc-L3" in name for name in names) == 7
    assert not any(name.endswith("_metrics.json") for name in names) and (tmp_path / "L2.json").exists()


def test_files_without_subjects_and_what_is_refused(cases, named, tmp_path, capsys):
    root = tmp_path / "out"
    assert main(bids(cases, root, "--level", "L3")) == 0
    assert "sub-moving/anat/sub-moving_space-fixed_desc-L3moved_ct.nii.gz" in files_of(root)
    capsys.readouterr()
    same = named | {"moving": named["fixed"], "moving_seg": named["fixed_seg"]}
    assert "would have one label, 01" in fails(bids(same, root, "--level", "L3"), capsys)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')
    refusal = fails(bids(named, tmp_path / "raw", "--level", "L3"), capsys)
    assert "dataset_description.json: is of a raw data set; --bids writes to a derivative" in refusal
    assert len(list((tmp_path / "raw").iterdir())) == 1
    arguments = bids(named, root, "--level", "L3")
    at = arguments.index("--bids")
    assert "--moved: is needed, or --bids" in fails(arguments[:at] + arguments[at + 2 :], capsys)
