"""Finding which CT and label map belong together, by their names alone."""

import pytest

from acsgreg_tf.cohort.scans import find_scans
from acsgreg_tf.errors import InputError


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def shown(scans, folder):
    """{name: (person, image, label, level)} with paths as seen from the folder."""
    return {
        s.name: (s.person, *(p and p.relative_to(folder).as_posix() for p in (s.image, s.label)), s.level)
        for s in scans
    }


def test_verse_rawdata_and_derivatives(tmp_path):
    touch(
        tmp_path,
        "rawdata/sub-verse004/sub-verse004_ct.nii.gz",
        "derivatives/sub-verse004/sub-verse004_seg-vert_msk.nii.gz",
        "derivatives/sub-verse004/sub-verse004_seg-subb-ctd.json",
        "rawdata/sub-verse401/sub-verse401_split-verse253_ct.nii.gz",
        "derivatives/sub-verse401/sub-verse401_split-verse253_seg-vert_msk.nii.gz",
        "rawdata/sub-gl003/sub-gl003_dir-ax_ct.nii.gz",
        "derivatives/sub-gl003/sub-gl003_dir-ax_seg-vert_msk.nii.gz",
        "derivatives/sub-gl003/sub-gl003_dir-ax_seg-subreg_msk.nii.gz",
        "derivatives/sub-gl003/.sub-gl003_dir-ax_seg-vert_msk.nii.gz",
        "notes.nii.gz",
    )
    result = shown(find_scans(tmp_path), tmp_path)
    assert result == {
        "sub-gl003_dir-ax": (
            "sub-gl003",
            "rawdata/sub-gl003/sub-gl003_dir-ax_ct.nii.gz",
            "derivatives/sub-gl003/sub-gl003_dir-ax_seg-vert_msk.nii.gz",
            None,
        ),
        "sub-verse004": (
            "sub-verse004",
            "rawdata/sub-verse004/sub-verse004_ct.nii.gz",
            "derivatives/sub-verse004/sub-verse004_seg-vert_msk.nii.gz",
            None,
        ),
        "sub-verse401_split-verse253": (
            "sub-verse401",
            "rawdata/sub-verse401/sub-verse401_split-verse253_ct.nii.gz",
            "derivatives/sub-verse401/sub-verse401_split-verse253_seg-vert_msk.nii.gz",
            None,
        ),
    }


def test_other_habits_of_bids_names(tmp_path):
    touch(
        tmp_path,
        "sub-ct_label-22_ct.nii.gz",
        "sub-ct_seg-vert_label-22_msk.nii.gz",
        "sub-ct_seg-subreg_label-22_msk.nii.gz",
        "sub-a_ses-1_ct.nii.gz",
        "sub-a_ses-1_space-T1w_desc-vert_dseg.nii.gz",
        "sub-b_L1_seg.nii.gz",
        "sub-b_L2_seg.nii.gz",
        "sub-c_ct.mha",
    )
    assert shown(find_scans(tmp_path, "verse"), tmp_path) == {
        "sub-a_ses-1": ("sub-a", "sub-a_ses-1_ct.nii.gz", "sub-a_ses-1_space-T1w_desc-vert_dseg.nii.gz", None),
        "sub-b_L1": ("sub-b", None, "sub-b_L1_seg.nii.gz", "L1"),
        "sub-b_L2": ("sub-b", None, "sub-b_L2_seg.nii.gz", "L2"),
        "sub-c": ("sub-c", "sub-c_ct.mha", None, None),
        "sub-ct_label-22": ("sub-ct", "sub-ct_label-22_ct.nii.gz", "sub-ct_seg-vert_label-22_msk.nii.gz", None),
    }


def test_two_label_maps_of_one_scan_are_a_fault_of_it(tmp_path):
    touch(tmp_path, "sub-a_ct.nii.gz", "x/sub-a_seg-vert_msk.nii.gz", "y/sub-a_seg-vert_msk.nii.gz")
    (scan,) = find_scans(tmp_path)
    assert scan.fault == "2 files could be its label: x/sub-a_seg-vert_msk.nii.gz, y/sub-a_seg-vert_msk.nii.gz"


def test_nnunet(tmp_path):
    touch(
        tmp_path,
        "imagesTr/case_01_0000.nii.gz",
        "imagesTr/case_01_0001.nii.gz",
        "labelsTr/case_01.nii.gz",
        "imagesTr/b_0000.nrrd",
        "labelsTr/b.nrrd",
        "labelsTr/c.nii.gz",
        "imagesTs/d_0000.nii.gz",
        "dataset.json",
    )
    assert shown(find_scans(tmp_path), tmp_path) == {
        "b": ("b", "imagesTr/b_0000.nrrd", "labelsTr/b.nrrd", None),
        "c": ("c", None, "labelsTr/c.nii.gz", None),
        "case_01": ("case_01", "imagesTr/case_01_0000.nii.gz", "labelsTr/case_01.nii.gz", None),
    }


def test_a_list(tmp_path):
    (tmp_path / "l.csv").write_text(
        "image,label,person,level,number\na_ct.nii,a_seg.nii,ann,,\n,b.nii.gz,ben,L2,\n,c.nii,ben lee,L3,7\n"
        "d.nii,d_s.nii,,,\n,e.nii,ann,,\n"
    )
    scans = find_scans(tmp_path / "l.csv")
    assert shown(scans, tmp_path) == {
        "ann": ("ann", "a_ct.nii", "a_seg.nii", None),
        "ann_6": ("ann", None, "e.nii", None),
        "ben-lee_L3": ("ben lee", None, "c.nii", "L3"),
        "ben_L2": ("ben", None, "b.nii.gz", "L2"),
        "d_s": ("d_s", "d.nii", "d_s.nii", None),
    }
    assert [s.number for s in scans] == [None, None, 7, None, None]


@pytest.mark.parametrize(
    "text, words",
    [
        ("image,person\na,b\n", "lacks the column label"),
        ("image,label\n,\n", "line 2: names neither"),
        ("image,label,level\na,b,L9\n", "line 2: level 'L9'"),
        ("image,label,level,number\na,b,L3,x\n", "line 2: number 'x'"),
        ("image,label,number\na,b,3\n", "line 2: number '3' must be a label's number, and stand beside a level"),
        ("image,label\n", "holds no scans"),
    ],
)
def test_a_bad_list_is_named(tmp_path, text, words):
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        find_scans(tmp_path / "l.csv")


def test_nothing_to_find_is_said(tmp_path):
    with pytest.raises(InputError, match="is not there"):
        find_scans(tmp_path / "gone")
    with pytest.raises(InputError, match="holds no scans"):
        find_scans(touch(tmp_path, "brain.nii.gz"))
    with pytest.raises(InputError, match="the layout csv is a file"):
        find_scans(tmp_path, "csv")
    (tmp_path / "l.csv").write_text("image,label\na,b\n")
    with pytest.raises(InputError, match="the layout verse is a folder"):
        find_scans(tmp_path / "l.csv", "verse")
