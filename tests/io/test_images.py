"""Images in and out: what is read lies where the real readers say, and every bad file gets its one line."""

import gzip
import itertools
import os
import warnings

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import Grid
from acsgreg_tf.io import npz_volumes
from acsgreg_tf.io.images import Image, as_image, as_label, read_image, read_label, write_image
from acsgreg_tf.io.transforms import from_sitk
from tests.explore import examples

ENDINGS = (".nii", ".nii.gz", ".nrrd", ".mha")


def oblique_grid(shape=(5, 6, 7)):
    """A rotated, anisotropic, left-handed grid far from the origin."""
    turn = nib.eulerangles.euler2mat(0.3, -0.2, 0.5)
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-0.8, 1.1, 3.0])
    affine[:3, 3] = (-120.5, 33.25, 871.0)
    return Grid(shape, affine)


def volume(shape=(5, 6, 7), dtype=np.float32):
    return np.arange(1, 1 + np.prod(shape)).reshape(shape).astype(dtype)


@pytest.mark.parametrize("ending", [".mgz", ".mgh"])
def test_freesurfers_volumes_lie_where_nibabel_says(tmp_path, ending):
    grid, data = oblique_grid(), volume()
    nib.save(nib.MGHImage(data, grid.affine), tmp_path / f"a{ending}")
    image = read_image(tmp_path / f"a{ending}")
    np.testing.assert_array_equal(image.data, data)
    assert image.grid.isclose(grid, tolerance=1e-3)
    nib.save(nib.MGHImage(data.astype(np.uint8), grid.affine), tmp_path / f"s{ending}")
    np.testing.assert_array_equal(read_label(tmp_path / f"s{ending}").data, data.astype(np.uint8))


def test_voxelmorphs_volumes(tmp_path):
    """As `voxelmorph.py.utils.save_volfile` writes them, and with an affine as this package's warps have."""
    grid, data = oblique_grid(), volume()
    np.savez_compressed(tmp_path / "placed.npz", vol=data, affine=grid.affine)
    placed = read_image(tmp_path / "placed.npz")
    np.testing.assert_array_equal(placed.data, data)
    assert placed.grid.isclose(grid)
    npz_volumes._warned.cache_clear()
    np.savez_compressed(tmp_path / "plain.npz", vol=data[..., None])
    with pytest.warns(UserWarning, match="plain.npz: has no affine, so its voxels are taken for 1 mm") as caught:
        plain = [read_image(tmp_path / "plain.npz") for _ in range(3)]
    assert len(caught) == 1 and plain[2].grid.isclose(Grid(data.shape, np.eye(4)))
    np.savez_compressed(tmp_path / "seg.npz", vol=(data > 5).astype("int32"), affine=np.eye(4))
    assert read_label(tmp_path / "seg.npz").data.sum() == (data > 5).sum()


@pytest.mark.parametrize(
    "arrays, words",
    [
        ({"volume": np.ones((3, 3, 3))}, "must hold 'vol'"),
        ({"vol": np.ones((3, 3, 3, 3))}, r"got float64 of shape \(3, 3, 3, 3\)"),
        ({"vol": np.ones((3, 3, 3), complex)}, "real numbers"),
        ({"vol": np.ones((3, 3, 3)), "affine": np.zeros((4, 4))}, "affine must have the last row"),
        ({"vol": np.ones((3, 3, 3)), "affine": np.diag([99, 1, 1, 1])}, "header in other units"),
        ({"vol": np.ones((3, 3, 3)), "affine": [["a"] * 4] * 4}, "'affine' must hold real numbers, not <U1"),
        ({"vol": np.ones((3, 3, 3)), "affine": np.eye(4) * (1 + 1j)}, "'affine' must hold real numbers"),
        ({"vol": np.array([{}, {}])}, "cannot be read"),
    ],
)
def test_npz_files_that_are_no_volumes(tmp_path, arrays, words):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=f"a.npz: .*{words}"):
        read_image(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match="b.npz: cannot be read"):
        read_image(tmp_path / "b.npz")
    with open(tmp_path / "c.npz", "wb") as file:
        np.save(file, np.ones((3, 3, 3)))
    with pytest.raises(InputError, match="c.npz: is one array"):
        read_image(tmp_path / "c.npz")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint8])
def test_what_is_written_is_read_back(tmp_path, ending, dtype):
    grid, data = oblique_grid(), volume(dtype=dtype)
    path = tmp_path / f"sub-1.5_ct{ending}"
    write_image(path, data, grid)
    image, label = read_image(path), read_label(path)
    assert image.grid.isclose(grid, 1e-5) and label.grid.isclose(grid, 1e-5)
    assert image.data.dtype == np.float32 and np.issubdtype(label.data.dtype, np.integer)
    np.testing.assert_array_equal(image.data, data)
    np.testing.assert_array_equal(label.data, data)
    assert image.name == str(path)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("ending", ENDINGS)
def test_other_readers_see_the_same_world(tmp_path, ending):
    grid, data = oblique_grid(), volume()
    path = tmp_path / f"x{ending}"
    write_image(path, data, grid)
    theirs = sitk.ReadImage(str(path))
    index = (3, 1, 2)
    lps = theirs.TransformIndexToPhysicalPoint(index)
    np.testing.assert_allclose(np.array(lps) * (-1, -1, 1), grid.index_to_points(index), atol=1e-4)
    assert theirs[index] == data[index]
    if ending.startswith(".nii"):
        header = nib.load(path).header
        np.testing.assert_allclose(header.get_sform(), grid.affine, atol=1e-4)
        np.testing.assert_allclose(header.get_qform(), grid.affine, atol=1e-4)
        assert (header["sform_code"], header["qform_code"]) == (1, 1)


ORIENTATIONS = [
    [[axis, flip] for axis, flip in zip(axes, flips)]
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((1, -1), repeat=3)
]


@examples(48)
@given(
    orientation=st.sampled_from(ORIENTATIONS),
    spacing=st.tuples(*[st.floats(0.3, 5)] * 3),
    ending=st.sampled_from(ENDINGS),
)
def test_nibabel_and_itk_files_agree_in_every_orientation(tmp_path_factory, orientation, spacing, ending):
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (10, -20, 30)
    turned = nib.Nifti1Image(volume(), affine).as_reoriented(orientation)
    path = tmp_path_factory.mktemp("orientation") / f"x{ending}"
    write_image(path, turned.get_fdata(), Grid(turned.shape, turned.affine))
    image = read_image(path)
    # The voxel that holds a value lies at the same world point whatever the storage order.
    index = np.argwhere(image.data == volume()[1, 2, 3])[0]
    expected = affine[:3, :3] @ (1, 2, 3) + affine[:3, 3]
    np.testing.assert_allclose(image.grid.index_to_points(index), expected, atol=1e-4)
    data, grid = from_sitk(sitk.ReadImage(str(path)))
    np.testing.assert_array_equal(data, image.data)
    assert grid.isclose(image.grid, 1e-4)


def test_slope_and_intercept_are_applied(tmp_path):
    path = tmp_path / "x.nii"
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    image = nib.Nifti1Image(volume(dtype=np.int16), np.eye(4), header)
    image.header.set_slope_inter(2.0, -1000.0)
    nib.save(image, path)
    with open(path, "r+b") as file:  # nibabel wrote slope and data that belong together; read the bytes back raw
        raw = np.frombuffer(file.read()[352:], "<i2").reshape((5, 6, 7), order="F")
    np.testing.assert_allclose(read_image(path).data, raw * 2.0 - 1000.0)


def test_trailing_axes_of_one_are_dropped(tmp_path):
    path = tmp_path / "x.nii.gz"
    nib.save(nib.Nifti1Image(volume()[..., None, None], np.eye(4)), path)
    assert read_image(path).data.shape == (5, 6, 7)
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(volume())]), str(tmp_path / "x.mha"))
    np.testing.assert_array_equal(read_image(tmp_path / "x.mha").data, volume().transpose(2, 1, 0))


def test_big_endian_and_float_labels(tmp_path):
    path = tmp_path / "x.nii"
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    nib.save(nib.Nifti1Image(volume(dtype=np.int16), np.eye(4), header), path)
    assert read_label(path).data.dtype == np.int16
    np.testing.assert_array_equal(read_label(path).data, volume(dtype=np.int16))
    write_image(tmp_path / "f.nii", volume(dtype=np.float64), oblique_grid())
    assert read_label(tmp_path / "f.nii").data.dtype == np.int32


def test_objects_are_taken_as_they_are(tmp_path):
    grid, data = oblique_grid(), volume()
    path = tmp_path / "x.nii.gz"
    write_image(path, data, grid)
    sources = [path, str(path), nib.load(path), sitk.ReadImage(str(path)), Image(data, grid, "mine")]
    for source in sources:
        image = as_image(source)
        assert image.grid.isclose(grid, 1e-4)
        np.testing.assert_array_equal(image.data, data)
        np.testing.assert_array_equal(as_label(source).data, data)
    assert as_image(sources[-1]).name == "mine"
    with pytest.raises(InputError, match="got ndarray"):
        as_image(data)


def _cut(path, fraction):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])


def _raw_header(path, **fields):
    """Overwrite header fields of a .nii in place, past nibabel's own checks."""
    content = bytearray(path.read_bytes())
    for field, value in fields.items():
        dtype, offset = nib.nifti1.header_dtype.fields[field][:2]
        raw = np.array(value, dtype=dtype.base).tobytes()
        content[offset : offset + len(raw)] = raw
    path.write_bytes(content)


def _nifti(data, affine=None, ending=".nii.gz", **fields):
    """A maker of a NIfTI file, its raw header changed by `fields`."""

    def make(folder):
        path = folder / f"x{ending}"
        nib.save(nib.Nifti1Image(data, np.eye(4) if affine is None else affine), path)
        if fields:
            _raw_header(path, **fields)
        return path

    return make


def _written(ending, cut):
    """A maker of an image of noise, cut to a part of its bytes."""

    def make(folder):
        path, noise = folder / f"x{ending}", np.random.default_rng(0).normal(size=(20, 20, 20))
        write_image(path, noise, oblique_grid((20, 20, 20)))
        _cut(path, cut)
        return path

    return make


def _text(name, content=b"no image at all\n" * 40):
    """A maker of a file that is no image."""

    def make(folder):
        (folder / name).write_bytes(content)
        return folder / name

    return make


def _itk(image):
    """A maker of a MetaImage."""

    def make(folder):
        sitk.WriteImage(image, str(folder / "x.mha"))
        return folder / "x.mha"

    return make


def _bad_files():
    """{case: (maker of the file in a folder, fault that the message names)}."""
    nan = volume()
    nan[1, 2, 3], nan[0, 0, 0] = np.nan, np.inf
    rgb = np.zeros((4, 4, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    singular = [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]]
    return {
        "missing": (lambda folder: folder / "none.nii.gz", "no such file"),
        "unknown ending": (_text("x.jpg"), "unknown ending"),
        "no ending": (_text("scan"), "unknown ending"),
        "text as nii": (_text("x.nii"), "cannot be read"),
        "text as nii.gz": (_text("x.nii.gz"), "cannot be read"),
        "text inside gz": (_text("x.nii.gz", gzip.compress(b"nothing" * 99)), "cannot be read"),
        "empty nii": (_text("x.nii", b""), "cannot be read"),
        "text as nrrd": (_text("x.nrrd"), "cannot be read"),
        "text as mha": (_text("x.mha"), "cannot be read"),
        "cut nii": (_written(".nii", 0.6), "cannot be read"),
        "cut gzip": (_written(".nii.gz", 0.6), "cannot be read"),
        "cut inside the header": (_written(".nii.gz", 0.005), "cannot be read"),
        "cut nrrd": (_written(".nrrd", 0.6), "cannot be read"),
        "cut mha": (_written(".mha", 0.6), "cannot be read"),
        "4-D": (_nifti(np.ones((3, 4, 5, 2))), r"3-D volume is needed, got 4-D, shape \(3, 4, 5, 2\)"),
        "2-D": (_nifti(np.ones((3, 4))), "3-D volume is needed, got 2-D"),
        "one slice": (_nifti(np.ones((3, 4, 1))), "at least 2 voxels"),
        "2-D mha": (_itk(sitk.Image(4, 5, sitk.sitkInt16)), "3-D volume is needed, got 2-D"),
        "vectors": (_itk(sitk.Image([4, 4, 4], sitk.sitkVectorFloat32, 3)), "plain numbers"),
        "colours": (_nifti(rgb), "plain numbers"),
        "complex": (_nifti(np.ones((4, 4, 4), np.complex64)), "plain numbers"),
        "NaN": (_nifti(nan), "2 of 210 voxels are NaN or infinite"),
        "zeros": (_nifti(np.zeros((4, 4, 4))), "every voxel is zero"),
        "singular": (_nifti(volume(), ending=".nii", srow_y=singular[1], sform_code=1), "singular"),
        "NaN affine": (_nifti(volume(), ending=".nii", srow_y=[np.nan] * 4, sform_code=1), "a NaN"),
        "absurd size": (
            _nifti(volume(), ending=".nii", dim=[3, 32767, 32767, 32767, 1, 1, 1, 1]),
            "cannot be read",
        ),
    }


BAD_FILES = _bad_files()


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_gets_one_line_that_names_it(tmp_path, case):
    make, fault = BAD_FILES[case]
    path = make(tmp_path)
    with pytest.raises(InputError, match=fault) as caught:
        read_image(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and len(message) < len(str(path)) + 300


def test_labels_may_be_empty_but_not_fractions(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), tmp_path / "empty.nii.gz")
    assert not read_label(tmp_path / "empty.nii.gz").data.any()
    nib.save(nib.Nifti1Image(np.full((4, 4, 4), 1.5, np.float32), np.eye(4)), tmp_path / "half.nii.gz")
    with pytest.raises(InputError, match="half.nii.gz: label maps must hold whole numbers"):
        read_label(tmp_path / "half.nii.gz")


def test_a_ct_is_no_label_map():
    data = volume(dtype=np.int16) - 50
    with pytest.raises(InputError, match="ct: holds the number -49, so it is no label map; is it a CT?"):
        as_label(Image(data, oblique_grid(), "ct"))


def test_a_metaimage_that_ends_too_soon(tmp_path):
    write_image(tmp_path / "ct.mha", volume(), oblique_grid())
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / "ct.mha")), str(tmp_path / "plain.mha"), False)
    content = (tmp_path / "plain.mha").read_bytes()
    (tmp_path / "plain.mha").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"plain\.mha: cannot be read \(it ends before its data do\)"):
        read_image(tmp_path / "plain.mha")


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float64])
def test_labels_have_numbers_of_a_usual_size(tmp_path, dtype):
    """What reads them takes memory for every number up to the largest."""
    data = np.zeros((4, 4, 4), dtype)
    data[1, 1, 1] = 1_000_000
    grid = oblique_grid((4, 4, 4))
    assert as_label(Image(data, grid)).data.max() == 1_000_000
    data[1, 1, 1] += 1
    with pytest.raises(InputError, match="ten: label 1000001: a label map's values may be at most 1000000"):
        as_label(Image(data, grid, "ten"))


@pytest.mark.parametrize(
    "change, expected, message",
    [
        ({"pixdim": [1, 1, 1, 2, 0, 0, 0, 0]}, np.diag([1.0, 1, 1, 1]), "sform and qform disagree"),
        ({"sform_code": 0, "qform_code": 0}, None, "neither sform nor qform"),
        ({"sform_code": 0}, np.eye(4), None),
        ({"qform_code": 0}, np.eye(4), None),
    ],
)
def test_headers_of_two_minds(tmp_path, change, expected, message):
    path = tmp_path / "x.nii"
    image = nib.Nifti1Image(volume(), np.eye(4))
    image.set_sform(np.eye(4), code=1)
    image.set_qform(np.eye(4), code=1)
    nib.save(image, path)
    _raw_header(path, **change)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        read = read_image(path)
    assert [str(w.message).startswith(str(path)) and message in str(w.message) for w in seen] == [True] * bool(message)
    if expected is not None:
        np.testing.assert_allclose(read.grid.affine, expected)


@pytest.mark.parametrize(
    "data, dtype, stored",
    [
        (np.ones((2, 2, 2), bool), None, np.uint8),
        (np.full((2, 2, 2), 7, np.int64), None, np.int32),
        (np.full((2, 2, 2), 0.25), None, np.float32),
        (np.full((2, 2, 2), 1.6), np.int16, np.int16),
        (np.full((2, 2, 2), 300.0), np.uint8, np.uint8),
    ],
)
def test_what_is_stored(tmp_path, data, dtype, stored):
    write_image(tmp_path / "x.nii.gz", data, Grid((2, 2, 2), np.eye(4)), dtype)
    image = nib.load(tmp_path / "x.nii.gz")
    assert image.get_data_dtype() == stored
    expected = {1.6: 2, 300.0: 255}.get(float(data.flat[0]), data.flat[0])
    np.testing.assert_allclose(image.get_fdata(), expected)


def test_places_that_cannot_be_written(tmp_path):
    grid, data = oblique_grid(), volume()
    with pytest.raises(InputError, match="the output folder .*none does not exist"):
        write_image(tmp_path / "none" / "x.nii.gz", data, grid)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="does not exist"):
        write_image(tmp_path / "file" / "x.nii.gz", data, grid)
    (tmp_path / "folder.nii.gz").mkdir()
    with pytest.raises(InputError, match="not a regular file"):
        write_image(tmp_path / "folder.nii.gz", data, grid)
    for name in ("x.jpg", "x", "x.mhd"):
        with pytest.raises(InputError, match="images are written as"):
            write_image(tmp_path / name, data, grid)
    with pytest.raises(InputError, match="data of shape"):
        write_image(tmp_path / "x.nii", data[1:], grid)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="cannot be written"):
            write_image(tmp_path / "x.nii.gz", volume(), oblique_grid())
    finally:
        tmp_path.chmod(0o700)
