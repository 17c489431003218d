"""A table of people, and which files it gives each of them."""

import pytest

from acsgreg_tf.cohort.people import Person, find_person_scans, read_people
from acsgreg_tf.errors import InputError

HEAD = "person,side,ct,levels,files\n"


def people_of(tmp_path, lines, head=HEAD):
    (tmp_path / "people.csv").write_text(head + lines)
    return read_people(tmp_path / "people.csv")


def test_levels_and_ct_with_their_remarks(tmp_path):
    lines = (
        "ann (= sub-x),train,L2 L5 (metal at L3 L4),L1-L3 and T,sub-ann_* sub-x_*\n"
        "ben,test,no (simulate),L1 L5 (and L6),ben_*\n"
        "cat,test,yes (>= 200 HU),,cat_*\n"
    )
    ann, ben, cat = people_of(tmp_path, lines)
    assert ann == Person("ann", "train", ("sub-ann_*", "sub-x_*"), ("L1", "L2", "L3"), ("L2", "L5"), "metal at L3 L4")
    assert (ben.levels, ben.ct_levels) == (("L1", "L5"), ())
    assert (ben.ct_remark, cat.ct_remark) == ("simulate", ">= 200 HU")
    assert cat.levels == cat.ct_levels == ("L1", "L2", "L3", "L4", "L5")
    (short,) = people_of(tmp_path, "dan,test,dan_*\n", "person,side,files\n")
    assert short.levels == short.ct_levels == cat.levels


@pytest.mark.parametrize(
    "lines, words",
    [
        ("", "names nobody"),
        ("ann,val,yes,L1,a_*\n", "line 2: side must be train or test"),
        ("ann,test,yes,L1,\n", "line 2: files is empty"),
        ("ann,test,yes,T12,a_*\n", "line 2: 'T12' names none"),
        ("ann,test,perhaps,L1,a_*\n", "line 2: 'perhaps' names none"),
        ("ann,test,yes,L1,a_*\nann,train,yes,L2,b_*\n", "line 3: ann stands in an earlier line"),
    ],
)
def test_bad_tables_are_refused_by_line(tmp_path, lines, words):
    with pytest.raises(InputError, match=words):
        people_of(tmp_path, lines)


def scans_of(folder, *names, patterns=("ann_*",)):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return find_person_scans(Person("ann", "test", patterns), folder)


def test_files_of_one_scan_belong_together(tmp_path):
    scans = scans_of(
        tmp_path,
        *("x/ann_ct.nii.gz", "x/ann_seg-vert_msk.nii.gz", "x/ann_seg-subreg_msk.nii.gz", "x/notes.txt"),
        *("ann_L2_label.nii.gz", "ann_fu_seg_totalseg.nrrd", "annfu_ct.nii.gz"),
    )
    whole, *others = scans
    assert (whole.image.name, whole.label.name) == ("ann_ct.nii.gz", "ann_seg-vert_msk.nii.gz")
    assert whole.parts.name == "ann_seg-subreg_msk.nii.gz" and (whole.level, whole.table) == (None, "verse")
    found = {scan.label.name: (scan.image, scan.level, scan.table) for scan in others}
    assert found == {
        "ann_L2_label.nii.gz": (None, "L2", "verse"),
        "ann_fu_seg_totalseg.nrrd": (None, None, "totalsegmentator"),
    }


def test_a_pattern_may_name_a_folder_and_leave_the_ending_out(tmp_path):
    (scan,) = scans_of(tmp_path, "a/ann_L1_seg.nii.gz", "b/ann_L1_seg.nii.gz", patterns=("b/ann_*_seg",))
    assert scan.label == tmp_path / "b" / "ann_L1_seg.nii.gz"
    with pytest.raises(InputError, match="ann_L1_seg.nii.gz: could be the same thing as"):
        scans_of(tmp_path, patterns=("ann_*",))
