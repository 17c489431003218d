"""DICOM series that SimpleITK wrote: where their voxels lie, and what cannot be used."""

import numpy as np
import pytest
import SimpleITK as sitk

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import Grid
from acsgreg_tf.io.images import read_image


def volume(shape):
    return np.arange(1, 1 + np.prod(shape)).reshape(shape).astype(np.int16)


def write_dicom_series(folder, data, grid, uid="1.2.3.4", skip=(), position_of=None):
    """Minimal CT slices by SimpleITK, as its own DicomSeriesReadModifyWrite example does."""
    folder.mkdir(exist_ok=True)
    image = sitk.GetImageFromArray(np.transpose(data, (2, 1, 0)).astype(np.int16))
    lps = np.diag([-1, -1, 1, 1]) @ grid.affine
    direction = lps[:3, :3] / grid.spacing
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(data.shape[2]):
        if k in skip:
            continue
        piece = image[:, :, k]
        piece.SetSpacing(grid.spacing[:2].tolist())
        position = lps[:3, 3] + k * lps[:3, 2]
        tags = {
            "0008|0060": "CT",
            "0020|000e": uid,
            "0020|000d": "1.2.3",
            "0008|0018": f"{uid}.{k + 1}",
            "0020|0013": str(k + 1),
            "0020|0032": position_of or "\\".join(f"{p:.6f}" for p in position),
            "0020|0037": "\\".join(f"{d:.8f}" for d in direction[:, :2].T.ravel()),
            "0018|0050": f"{grid.spacing[2]:.3f}",
        }
        for key, value in tags.items():
            piece.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"{uid}_{k:03d}.dcm"))
        writer.Execute(piece)
    return folder


def test_a_dicom_folder_is_read(tmp_path):
    affine = np.diag([-0.7, -0.7, 2.5, 1.0])
    affine[:3, 3] = (90.0, 80.0, -40.0)
    grid = Grid((8, 9, 6), affine)
    data = volume(grid.shape) - 200
    image = read_image(write_dicom_series(tmp_path / "ct", data, grid))
    assert image.grid.isclose(grid, 1e-4)
    np.testing.assert_array_equal(image.data, data)


def test_dicom_folders_that_cannot_be_used(tmp_path):
    grid, data = Grid((8, 9, 6), np.diag([-1.0, -1.0, 2.5, 1.0])), volume((8, 9, 6))
    two = write_dicom_series(tmp_path / "two", data, grid, "1.2.3.4")
    write_dicom_series(two, data, grid, "1.2.3.5")
    with pytest.raises(InputError, match=r"two: holds 2 DICOM series.*1\.2\.3\.4 \(6 files\); 1\.2\.3\.5 \(6 files\)"):
        read_image(two)
    with pytest.raises(InputError, match="gap: slices 3 and 4 of 5 lie 5.0 mm apart, the others 2.5"):
        read_image(write_dicom_series(tmp_path / "gap", data, grid, skip=(3,)))
    bent = Grid((8, 9, 6), np.array([[-1.0, 0, 0.8, 0], [0, -1, 0, 0], [0, 0, 2.5, 0], [0, 0, 0, 1]]))
    with pytest.raises(InputError, match="tilted: slice .* mm from its place in an even stack"):
        read_image(write_dicom_series(tmp_path / "tilted", data, bent))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("nothing here")
    with pytest.raises(InputError, match="empty: is a folder without a DICOM series"):
        read_image(tmp_path / "empty")


@pytest.mark.parametrize("position", ["1\\2", "1,5\\2,5\\3,5", "a\\b\\c"])
def test_a_slice_without_a_position(tmp_path, position):
    grid, data = Grid((8, 9, 6), np.diag([-1.0, -1.0, 2.5, 1.0])), volume((8, 9, 6))
    with pytest.raises(InputError, match="ct: ") as caught:
        read_image(write_dicom_series(tmp_path / "ct", data, grid, position_of=position))
    assert "\n" not in str(caught.value)
