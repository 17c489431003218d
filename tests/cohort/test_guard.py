"""People who stand on both sides of a split are refused, by name and by bone."""

import nibabel as nib
import numpy as np
import pytest

from acsgreg_tf.cohort.guard import refuse_shared_names, refuse_shared_shapes
from acsgreg_tf.cohort.manifest import Sample
from acsgreg_tf.cohort.same_person import list_bones, list_people_bones
from acsgreg_tf.cohort.split import Split
from acsgreg_tf.errors import InputError
from acsgreg_tf.synthesis.phantom import vertebra


def split_of(train, test, by="person", val=()):
    return Split(tuple(train), tuple(val), tuple(test), by, 0)


def test_a_name_in_two_parts_is_refused():
    ann, ben, cat = (Sample(name, "L3", f"{name}.nii.gz") for name in ("ann", "ben", "cat"))
    refuse_shared_names(split_of([ann, ben], [cat]), "split.json")
    with pytest.raises(InputError, match=r"split.json: ann \(L3\) stands in train and in test"):
        refuse_shared_names(split_of([ann, ben], [Sample("ann", "L1", "other.nii.gz")]), "split.json")
    with pytest.raises(InputError, match=r"ben \(L3\) stands in train and in val"):
        refuse_shared_names(split_of([ann, ben], [cat], val=[ben]), "split.json")


def test_the_papers_split_draws_each_level_by_itself():
    low, high = Sample("ann", "L1", "1.nii.gz"), Sample("ann", "L2", "2.nii.gz")
    refuse_shared_names(split_of([low], [high], "level"), "split.json")
    with pytest.raises(InputError, match=r"ann \(L1\) stands in train and in test"):
        refuse_shared_names(split_of([low], [Sample("ann", "L1", "3.nii.gz")], "level"), "split.json")


@pytest.fixture(scope="module")
def bones(tmp_path_factory):
    """Labels of two people, and one of them again: flipped, in other voxels and under another name."""
    folder = tmp_path_factory.mktemp("bones")
    samples = []
    for name, seed in (("ann", 1), ("ben", 2)):
        mask = (vertebra(seed, "L3", (64, 64, 32), 2.0) < 0).astype(np.uint8)
        samples.append(Sample(name, "L3", "", str(folder / f"{name}.nii.gz")))
        nib.save(nib.Nifti1Image(mask, np.diag([2, 2, 2, 1.0])), samples[-1].label)
    mask = np.repeat(nib.load(samples[0].label).get_fdata()[::-1], 2, axis=1).astype(np.uint8)
    samples.append(Sample("stranger", "L3", "", str(folder / "stranger.nii.gz")))
    nib.save(nib.Nifti1Image(mask, np.diag([2, 1, 2, 1.0])), samples[-1].label)
    return samples


def test_one_person_under_two_names_is_refused(bones):
    ann, ben, stranger = bones
    refuse_shared_shapes(split_of([ann], [ben]), "split.json")
    with pytest.raises(InputError, match="split.json: ann in train and stranger in test are one person"):
        refuse_shared_shapes(split_of([ben, ann], [stranger]), "split.json")


def test_a_list_of_shapes_and_a_table_of_people_are_lists_of_bones(bones, tmp_path):
    lines = ["path,kind,label,level,person,axes", f"{bones[0].label},label,1,L3,ann,"]
    np.savez(tmp_path / "mesh_L2.npz", vertices=np.eye(4, 3), faces=[[0, 1, 2]])
    (tmp_path / "shapes.csv").write_text("\n".join([*lines, "mesh_L2.npz,mesh,,L2,eve,LPS"]))
    assert [(bone.person, bone.level, bone.mesh) for bone in list_bones(tmp_path / "shapes.csv", {"L3": 22})] == [
        ("eve", "L2", True),
        ("ann", "L3", False),
    ]
    (tmp_path / "people.csv").write_text("person,side,files\neve,train,mesh_*\n")
    (bone,) = list_people_bones(tmp_path, "train")
    assert (bone.person, bone.level, bone.mesh) == ("eve mesh_L2", "L2", True)
    assert list_people_bones(tmp_path, "test") == []
