"""NIfTI files: what nibabel reads back, whoever packs them, and the same bytes each time."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from acsgreg_tf.io import nifti
from tests.helpers import noise


@pytest.mark.parametrize("packer", [nifti._Packed, gzip.GzipFile])
@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii"])
def test_nibabel_reads_data_and_header_back(tmp_path, monkeypatch, packer, order, name):
    monkeypatch.setattr(nifti, "_Packed", packer)
    data = np.asarray(np.rint(noise((5, 6, 7), 50.0)), np.int16, order=order)
    image = nib.Nifti1Image(data, np.diag([1.0, 2, 3, 1]))
    image.set_qform(image.affine, code=1)
    image.header.set_slope_inter(0.5, 2)
    image.header.set_intent("vector")
    nifti.write_nifti(tmp_path / name, image)
    back = nib.load(tmp_path / name)
    np.testing.assert_array_equal(back.get_fdata(), 0.5 * data + 2)
    np.testing.assert_array_equal(back.affine, image.affine)
    assert int(back.header["qform_code"]) == 1 and back.header.get_intent()[0] == "vector"
    assert back.get_data_dtype() == np.int16


def test_the_same_image_is_the_same_bytes(tmp_path):
    image = nib.Nifti1Image(noise((5, 6, 7)), np.eye(4))
    for name in ("a.nii.gz", "b.nii.gz"):
        nifti.write_nifti(tmp_path / name, image)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
