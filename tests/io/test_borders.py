"""Files that no scanner makes and no tool wrote whole: each is refused from its header, in one line that names it."""

import gzip
import io
import json
import resource
import zipfile

import nibabel as nib
import numpy as np
import pytest

from acsgreg_tf.cohort.split import read_split
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.images import read_image, read_label
from acsgreg_tf.io.points import read_points
from acsgreg_tf.io.tables import read_lines, read_table
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


@pytest.mark.parametrize("ending", ["mha", "nrrd"])
def test_directions_that_are_none(tmp_path, ending):
    path = tmp_path / f"ct.{ending}"
    headers = {
        "mha": "ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nTransformMatrix = 1 0 0 0 1 1e+308 0 0 1\n"
        "ElementType = MET_UCHAR\nElementDataFile = LOCAL\n",
        "nrrd": "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\nspace directions: "
        "(1,0,0) (0,1,1e125) (0,0,1)\nspace origin: (0,0,0)\nspace: left-posterior-superior\n\n",
    }
    path.write_bytes(headers[ending].encode() + bytes(range(8)))
    with pytest.raises(InputError, match=rf"ct\.{ending}: "):
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


def test_a_packed_file_that_cannot_hold_what_its_header_asks_for(tmp_path):
    """gzip packs a thousand bytes into one, so a small file is refused before anything is allocated or unpacked."""
    header = nib.Nifti1Header()
    header.set_data_shape((1000, 1000, 1000))
    header.set_data_dtype(np.uint8)
    header["magic"], header["vox_offset"] = b"n+1", 352
    with gzip.open(tmp_path / "bomb.nii.gz", "wb") as file:
        file.write(header.binaryblock + bytes(4 + 10**6))
    with pytest.raises(InputError, match=r"bomb\.nii\.gz.*shorter"):
        read_label(tmp_path / "bomb.nii.gz")
    header.set_data_shape((30000, 30000, 30000))
    with gzip.open(tmp_path / "huge.nii.gz", "wb") as file:
        file.write(header.binaryblock + bytes(4 + 10**6))
    with pytest.raises(InputError, match=r"huge\.nii\.gz.*(shorter|header asks)"):
        read_label(tmp_path / "huge.nii.gz")


@pytest.mark.parametrize("ending", ["mha", "nrrd"])
def test_itk_files_that_ask_for_more_than_there_is(tmp_path, ending, capfd):
    headers = {
        "mha": "ObjectType = Image\nNDims = 3\nDimSize = {0} {0} {0}\nElementSpacing = 1 1 1\nElementType = MET_UCHAR\n"
        "CompressedData = True\nElementDataFile = LOCAL\n",
        "nrrd": "NRRD0004\ntype: uchar\ndimension: 3\nsizes: {0} {0} {0}\nencoding: gzip\nspace directions: "
        "(1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\nspace: left-posterior-superior\n\n",
    }
    for side in (1000, 100_000):
        path = tmp_path / f"{side}.{ending}"
        path.write_bytes(headers[ending].format(side).encode() + gzip.compress(bytes(10**5)))
        with pytest.raises(InputError, match=f"{side}.{ending}: "):
            read_image(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "line",
    [
        b"NDims = " + b"1" * 400,  # fuzz_readers.py --seed 2 --first 1626: a segmentation fault
        b"NDims = -3",
        b"NDims = 33",
        b"Comment = " + b"x" * 5000,
        b"TransformMatrix = 1 0 0 0 1 0 1e308 0 1",  # --first 4153: no end
        b"Rotation = 1 0 0 0 1 0 0 nan 1",
        b"ElementDataFile = LO\xdcn\xb1K3\x93\x0e",  # --first 5576: abort
        b"ElementDataFile = %d\xb1 1 2 0",  # as --first 8378: division by zero
        b"ElementDataFile = %s%s 1 2 1",
    ],
)
def test_headers_that_metaio_crashes_on(tmp_path, line):
    rest = b"DimSize = 5 7 6\nElementType = MET_SHORT\nElementDataFile = LOCAL\n" + bytes(420)
    (tmp_path / "ct.mha").write_bytes(b"ObjectType = Image\n" + line + b"\n" + rest)
    with pytest.raises(InputError, match="ct.mha: cannot be read"):
        read_image(tmp_path / "ct.mha")


def test_a_metaimage_of_one_file_a_slice(tmp_path):
    header = b"ObjectType = Image\nNDims = 3\nDimSize = 2 2 3\nElementType = MET_UCHAR\n"
    (tmp_path / "ct.mhd").write_bytes(header + b"ElementDataFile = slice%02d.raw 1 3 1\n")
    for number in range(1, 4):
        (tmp_path / f"slice{number:02d}.raw").write_bytes(bytes([number] * 4))
    np.testing.assert_array_equal(read_image(tmp_path / "ct.mhd").data[0, 0], [1, 2, 3])


def test_other_libraries_say_nothing(tmp_path, capfd):
    """nibabel logs what it repairs in a header; MetaIO and GDCM print to stderr by themselves."""
    image = nib.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4))
    content = bytearray(image.to_bytes())
    content[80:84] = np.float32(-1).tobytes()  # pixdim[1]
    (tmp_path / "ct.nii").write_bytes(content)
    read_image(tmp_path / "ct.nii")
    (tmp_path / "ct.mha").write_bytes(b"ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\nEl")
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "1.dcm").write_bytes(bytes(128) + b"DICM" + b"\x08\x00\x16\x00UI\xff\xff" * 9)
    for path in (tmp_path / "ct.mha", tmp_path / "series"):
        with pytest.raises(InputError):
            read_image(path)
    assert capfd.readouterr() == ("", "")


def test_an_archive_of_more_than_it_holds(tmp_path):
    content = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (4000, 4000, 4000, 3)}
    np.lib.format.write_array_header_1_0(content, shape)
    with zipfile.ZipFile(tmp_path / "warp.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("vol.npy", content.getvalue() + bytes(1000))
    with pytest.raises(InputError, match=r"warp\.npz.*header asks"):
        read_transform(tmp_path / "warp.npz")


@pytest.mark.parametrize("name", ["points.csv", "points.fcsv", "table.csv"])
def test_a_cell_without_end(tmp_path, name):
    path = tmp_path / name
    path.write_text(f"# CoordinateSystem = RAS\nx,y,z\n{'1' * 200_000},2,3\n")
    with pytest.raises(InputError, match=f"{name}.*field larger"):
        read_points(path) if name.startswith("points") else read_table(path, ["x"], "a list")


def test_cells_and_lines_with_a_nul(tmp_path):
    (tmp_path / "list.csv").write_bytes(b"image,label\n\0a,b\n")
    with pytest.raises(InputError, match=r"list\.csv.*NUL"):
        read_table(tmp_path / "list.csv", ["image"], "a list")
    with pytest.raises(InputError, match=r"list\.csv.*NUL"):
        read_lines(tmp_path / "list.csv")


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
