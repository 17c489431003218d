"""Crops averaged to larger voxels."""

import os
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation.studies.cohort import reduced_crops
from tests.evaluation.studies.cases import sample


def test_crops_are_averaged_about_their_centre(tmp_path):
    label = np.zeros((8, 8, 4), "uint8")
    label[2:6, 2:6] = 1
    label[6, 2:4, :2] = 1  # half of a block: not more than half, so no voxel
    image = (label * np.arange(8).reshape(8, 1, 1) / 8).astype("float32")
    full = sample(tmp_path, "a", image, label)
    (small,) = reduced_crops([full], 2, tmp_path / "crops")
    image_file, mask = nib.load(small.image), nib.load(small.label)
    assert image_file.shape == (4, 4, 2) and np.allclose(image_file.header.get_zooms(), 2)
    ends = [(nib.load(path).affine, np.array(nib.load(path).shape) - 1) for path in (full.image, small.image)]
    np.testing.assert_allclose(*(nib.affines.apply_affine(affine, last / 2) for affine, last in ends))
    wanted = np.zeros((4, 4, 2))
    wanted[1:3, 1:3] = 1
    np.testing.assert_array_equal(np.asarray(mask.dataobj), wanted)
    np.testing.assert_allclose(image_file.get_fdata()[:, 1, 0], [0, 2.5 / 8, 4.5 / 8, 0], atol=1e-6)
    assert reduced_crops([full], 1, tmp_path / "none") == [full] and not (tmp_path / "none").exists()
    with pytest.raises(InputError, match="cannot be divided by 3"):
        reduced_crops([full], 3, tmp_path / "crops3")


def test_what_a_killed_run_left_is_removed_and_crops_that_are_there_are_used(tmp_path):
    full = sample(tmp_path, "a", np.ones((4, 4, 4), "float32"), np.ones((4, 4, 4), "uint8"))
    (small,) = reduced_crops([full], 2, tmp_path / "crops")
    left = tmp_path / "crops" / ".0dce70a4.a-L3_seg.nii.gz"
    left.write_bytes(b"half")
    written = os.stat(small.image).st_mtime_ns
    assert reduced_crops([full], 2, tmp_path / "crops") == [small]
    assert not left.exists() and os.stat(small.image).st_mtime_ns == written


def test_two_scans_of_a_person_stay_two(tmp_path):
    """Only their files' names differ."""
    first, second = (
        replace(sample(tmp_path, name, np.full((4, 4, 4), value, "float32"), np.ones((4, 4, 4), "uint8")), person="ann")
        for name, value in (("a", 0.4), ("b", 0.8))
    )
    values = [
        nib.load(small.image).get_fdata().max() for small in reduced_crops([first, second], 2, tmp_path / "crops")
    ]
    np.testing.assert_allclose(values, [0.4, 0.8], atol=1e-6)
    (tmp_path / "other").mkdir()
    same = replace(first, image=str(tmp_path / "other" / Path(first.image).name))
    with pytest.raises(InputError, match="crops need different names"):
        reduced_crops([first, same], 2, tmp_path / "crops")
