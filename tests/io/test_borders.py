"""Files that no scanner makes and no tool wrote whole: each is refused from its header, in one line that names it."""

import json
import resource

import nibabel as nib
import numpy as np
import pytest

from acsgreg_tf.cohort.split import read_split
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.images import read_image, read_label
from acsgreg_tf.io.points import read_points
from acsgreg_tf.io.transforms import read_transform
from acsgreg_tf.io.work_folder import claim


def nifti(path, affine=None, data=None, kind=nib.Nifti1Image):
    data = np.ones((4, 5, 6), np.float32) if data is None else data
    nib.save(kind(data, np.eye(4) if affine is None else affine), path)
    return path


@pytest.mark.parametrize("size", [1000.0, 1e-5, 1e33])
@pytest.mark.parametrize("ending", ["nii.gz", "mha"])
def test_spacings_in_other_units(tmp_path, size, ending):
    path = tmp_path / f"ct.{ending}"
    if ending == "mha":
        header = f"ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementSpacing = {size} {size} {size}\n"
        path.write_bytes(f"{header}ElementType = MET_UCHAR\nElementDataFile = LOCAL\n".encode() + bytes(range(8)))
    else:
        nifti(path, np.diag([size, size, size, 1]))
    with pytest.raises(InputError, match="ct.*(voxels of|cannot be read|finite|singular)"):
        read_image(path)


def test_an_origin_in_another_world(tmp_path):
    affine = np.eye(4)
    affine[:3, 3] = 1e36
    with pytest.raises(InputError, match=r"ct\.nii.*origin"):
        read_image(nifti(tmp_path / "ct.nii", affine))


@pytest.mark.parametrize("read", [read_image, read_label])
def test_values_beyond_any_scanner(tmp_path, read):
    with pytest.raises(InputError, match=r"ct\.nii.*values up to 3e\+38"):
        read(nifti(tmp_path / "ct.nii", data=np.full((3, 3, 3), 3e38, np.float32)))


def test_a_header_that_asks_for_more_than_there_is(tmp_path):
    """A file of some hundred bytes whose header says gigabytes: refused before they are allocated."""
    for kind, shape in ((nib.Nifti1Image, (900, 900, 900)), (nib.Nifti2Image, (2000, 2000, 2000))):
        header = kind.header_class()
        header.set_data_shape(shape)
        header.set_data_dtype(np.float32)
        path = tmp_path / f"{shape[0]}.nii"
        path.write_bytes(header.binaryblock + bytes(64))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(InputError, match=f"{shape[0]}.nii.*(shorter|header asks)"):
            read_image(path)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_an_empty_path():
    with pytest.raises(InputError, match="empty"):
        read_image("")


@pytest.mark.parametrize(
    "content",
    [
        b"\x93NUMPY\x01\x00\x10\x00{'descr': '(((  \n",
        b"\x93NUMPY\x01\x00\x04\x00{'''",
        b"not numpy at all",
    ],
)
def test_damaged_numpy_affines(tmp_path, content):
    path = tmp_path / "affine.npy"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"affine\.npy"):
        read_transform(path)


@pytest.mark.parametrize("dtype", ["U3", complex, bool])
def test_arrays_of_other_kinds(tmp_path, dtype):
    np.save(tmp_path / "affine.npy", np.eye(4).astype(dtype))
    np.savez(tmp_path / "warp.npz", vol=np.zeros((2, 2, 2, 3)).astype(dtype), affine=np.eye(4))
    for name in ("affine.npy", "warp.npz"):
        with pytest.raises(InputError, match=f"{name}.*real numbers"):
            read_transform(tmp_path / name)


def test_json_nested_without_end(tmp_path):
    deep = "[" * 100_000
    (tmp_path / "points.mrk.json").write_text(deep)
    (tmp_path / "split.json").write_text(deep)
    (tmp_path / "recipe.json").write_text(deep)
    for name, read in (
        ("points.mrk.json", lambda: read_points(tmp_path / "points.mrk.json")),
        ("split.json", lambda: read_split(tmp_path / "split.json")),
        ("recipe.json", lambda: claim(tmp_path, "recipe.json", {"seed": 1})),
    ):
        with pytest.raises(InputError, match=name):
            read()


@pytest.mark.parametrize("content", [[1, 2], "text", None, 7])
def test_a_recipe_that_is_no_object(tmp_path, content):
    (tmp_path / "recipe.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="recipe.json"):
        claim(tmp_path, "recipe.json", {"seed": 1})
