"""NIfTI files: what nibabel reads back, whoever packs them, and the same bytes each time."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import DenseField, Grid
from acsgreg_tf.io import nifti
from acsgreg_tf.io.images import read_image
from acsgreg_tf.io.transforms import read_transform, write_transform
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


@pytest.mark.parametrize("packer", [nifti._Packed, gzip.GzipFile])
@pytest.mark.parametrize("ending", ["nii.gz", "mgz"])
def test_a_damaged_file_of_the_right_length_is_refused(tmp_path, monkeypatch, packer, ending):
    """Its checksum stands behind the last voxel."""
    monkeypatch.setattr(nifti, "_Packed", packer)
    path = tmp_path / f"a.{ending}"
    image = (nib.Nifti1Image if ending == "nii.gz" else nib.MGHImage)(noise((5, 6, 7)).astype(np.float32), np.eye(4))
    content = bytearray(image.to_bytes())
    trailer = gzip.compress(bytes(content))[-8:]
    path.write_bytes(gzip.compress(bytes(content)))
    np.testing.assert_array_equal(read_image(path).data, image.get_fdata(dtype=np.float32))
    content[500] ^= 1
    path.write_bytes(gzip.compress(bytes(content))[:-8] + trailer)
    assert nib.load(path).get_fdata().shape == (5, 6, 7)  # nibabel does not look
    with pytest.raises(InputError, match=f"a.{ending}: cannot be read .*CRC"):
        read_image(path)


def test_a_damaged_field_is_refused(tmp_path):
    field = DenseField(noise((4, 5, 6, 3)), Grid((4, 5, 6), np.eye(4)))
    write_transform(tmp_path / "warp.nii.gz", field, field.grid)
    content = gzip.decompress((tmp_path / "warp.nii.gz").read_bytes())
    damaged = content[:600] + bytes([content[600] ^ 1]) + content[601:]
    (tmp_path / "warp.nii.gz").write_bytes(gzip.compress(damaged)[:-8] + gzip.compress(content)[-8:])
    with pytest.raises(InputError, match=r"warp\.nii\.gz: cannot be read .*CRC"):
        read_transform(tmp_path / "warp.nii.gz")


def test_a_file_that_does_not_end_with_its_voxels_is_not_read_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(nifti, "_MOST_BEHIND", 2)
    content = nib.Nifti1Image(noise((5, 6, 7)).astype(np.float32), np.eye(4)).to_bytes()
    for megabytes, passes in ((1, True), (3, False)):
        (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content + bytes(megabytes * 2**20)))
        if passes:
            assert read_image(tmp_path / "a.nii.gz").data.shape == (5, 6, 7)
        else:
            with pytest.raises(InputError, match="over 2 MB follow its last voxel"):
                read_image(tmp_path / "a.nii.gz")
