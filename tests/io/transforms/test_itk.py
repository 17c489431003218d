"""Our transform files in the hands of the real tools: SimpleITK and ANTs resample with them as we do."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import Affine, Composite, DenseField, Grid, resample, resample_label
from acsgreg_tf.io.images import write_image
from acsgreg_tf.io.transforms import (
    from_sitk,
    grid_from_sitk,
    read_itk,
    read_transform,
    to_sitk,
    to_sitk_transform,
    write_displacement,
    write_itk,
    write_transform,
)
from acsgreg_tf.io.transforms.itk import FIELD_STEP_MM
from tests.geometry.cases import (
    centred_grid,
    fixed_grid,
    moving_grid,
    network_transform,
    rigid_and_scale,
    smooth_field,
    smooth_image,
)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """One registration's outcome on disk, in every format."""
    folder = tmp_path_factory.mktemp("transforms")
    transform = network_transform(fixed_grid(), moving_grid())
    image = smooth_image(moving_grid().shape)
    for name in ("warp.h5", "warp.hdf5", "warp.nii.gz", "warp.nii", "warp.npz"):
        write_transform(folder / name, transform, fixed_grid())
    for name in ("affine.tfm", "affine.txt", "affine.npy"):
        write_transform(folder / name, transform.parts[1])
    write_image(folder / "moving.nii.gz", image, moving_grid())
    write_image(folder / "label.nii.gz", (image * 5).astype(np.uint8), moving_grid())
    write_image(folder / "fixed.nii.gz", smooth_image(fixed_grid().shape), fixed_grid())
    moved = resample(image, moving_grid(), fixed_grid(), transform)
    affine_moved = resample(image, moving_grid(), fixed_grid(), transform.parts[1])
    return folder, transform, image, {"warp": moved, "affine": affine_moved}


def as_a_stranger_reads_it(path):
    """A transform file as somebody without this package loads it in SimpleITK."""
    if path.suffix in (".gz", ".nii"):
        return sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))
    return sitk.ReadTransform(str(path))


@pytest.mark.parametrize("name", ["warp.h5", "warp.hdf5", "warp.nii.gz", "warp.nii", "affine.tfm", "affine.txt"])
def test_simpleitk_resamples_as_we_do(case, name):
    folder, _, _, moved = case
    moving, fixed = (sitk.ReadImage(str(folder / f"{n}.nii.gz")) for n in ("moving", "fixed"))
    theirs = sitk.Resample(moving, fixed, as_a_stranger_reads_it(folder / name), sitk.sitkLinear, 0.0)
    data, grid = from_sitk(theirs)
    assert grid.isclose(fixed_grid())
    np.testing.assert_allclose(data, moved[name.split(".")[0]], atol=1e-3)


@pytest.mark.parametrize("name", ["warp.h5", "warp.nii.gz", "affine.tfm", "affine.txt"])
def test_ants_resamples_as_we_do(case, name):
    ants = pytest.importorskip("ants", reason="antspyx is not installed")
    folder, _, _, moved = case
    fixed, moving = (ants.image_read(str(folder / f"{n}.nii.gz")) for n in ("fixed", "moving"))
    theirs = ants.apply_transforms(fixed, moving, [str(folder / name)], interpolator="linear").numpy()
    np.testing.assert_allclose(theirs, moved[name.split(".")[0]], atol=1e-3)


def test_ants_takes_field_and_affine_apart(case, tmp_path):
    """ANTs' own habit, `-t warp -t affine`: points of the fixed image meet the warp first."""
    ants = pytest.importorskip("ants", reason="antspyx is not installed")
    folder, transform, _, moved = case
    field = transform.parts[0]
    write_displacement(tmp_path / "field.nii.gz", field, field.grid)
    fixed, moving = (ants.image_read(str(folder / f"{n}.nii.gz")) for n in ("fixed", "moving"))
    files = [str(tmp_path / "field.nii.gz"), str(folder / "affine.tfm")]
    theirs = ants.apply_transforms(fixed, moving, files, interpolator="linear").numpy()
    np.testing.assert_allclose(theirs, moved["warp"], atol=1e-3)


def test_labels_moved_by_simpleitk_agree(case):
    folder, transform, _, _ = case
    label = nib.load(folder / "label.nii.gz")
    ours = resample_label(np.asarray(label.dataobj), moving_grid(), fixed_grid(), transform)
    fixed = sitk.ReadImage(str(folder / "fixed.nii.gz"))
    for value in np.unique(ours[ours > 0]):
        mask = sitk.Cast(sitk.ReadImage(str(folder / "label.nii.gz")) == int(value), sitk.sitkFloat32)
        theirs = (
            from_sitk(sitk.Resample(mask, fixed, sitk.ReadTransform(str(folder / "warp.h5")), sitk.sitkLinear))[0] > 0.5
        )
        dice = 2 * np.count_nonzero(theirs & (ours == value)) / (theirs.sum() + (ours == value).sum())
        assert dice > 0.999


@pytest.mark.parametrize("name", ["affine.tfm", "affine.txt", "affine.npy"])
def test_the_affine_comes_back(case, name):
    folder, transform, _, _ = case
    back = read_transform(folder / name)
    assert isinstance(back, Affine)
    np.testing.assert_allclose(back.matrix, transform.parts[1].matrix, atol=1e-6)


@pytest.mark.parametrize("name", ["warp.h5", "warp.hdf5", "warp.nii.gz", "warp.nii", "warp.npz"])
def test_the_warp_comes_back(case, name):
    folder, transform, image, moved = case
    back = read_transform(folder / name)
    points = fixed_grid().points(10, 12)
    np.testing.assert_allclose(back.apply(points), transform.apply(points), atol=1e-3)
    np.testing.assert_allclose(resample(image, moving_grid(), fixed_grid(), back), moved["warp"], atol=1e-3)


def test_the_h5_keeps_its_parts_and_is_compressed(case, tmp_path):
    folder, transform, _, _ = case
    back = read_itk(folder / "warp.h5")
    assert [type(part) for part in back.parts] == [DenseField, Affine]
    np.testing.assert_allclose(back.parts[0].displacement, transform.parts[0].displacement, atol=0.51 * FIELD_STEP_MM)
    assert back.parts[0].grid.isclose(transform.parts[0].grid)
    bare = tmp_path / "bare.h5"
    sitk.WriteTransform(sitk.ReadTransform(str(folder / "warp.h5")), str(bare))
    assert (folder / "warp.h5").stat().st_size < 0.35 * bare.stat().st_size


def test_an_inverse_composite_in_a_file(tmp_path):
    field = smooth_field(fixed_grid(), 2)
    # Any pair of fields will do here: what matters is that the affine's inverse comes first.
    whole = Composite(
        [
            DenseField(field.displacement, field.grid, -field.displacement),
            rigid_and_scale(fixed_grid(), moving_grid()),
        ]
    )
    write_itk(tmp_path / "inverse.h5", whole.inverse())
    theirs = sitk.ReadTransform(str(tmp_path / "inverse.h5"))
    points = moving_grid().points(14, 16).reshape(-1, 3)[::50]
    expected = [np.array(theirs.TransformPoint((p * (-1, -1, 1)).tolist())) * (-1, -1, 1) for p in points]
    np.testing.assert_allclose(whole.inverse().apply(points), expected, atol=1e-4)


def test_a_part_that_comes_twice_is_applied_twice(tmp_path):
    one, other = smooth_field(fixed_grid(), 2), smooth_field(fixed_grid(), 3)
    whole = Composite([one, other, one, rigid_and_scale(fixed_grid(), moving_grid())])
    write_itk(tmp_path / "warp.h5", whole)
    points = fixed_grid().points(14, 16).reshape(-1, 3)[::50]
    np.testing.assert_allclose(read_itk(tmp_path / "warp.h5").apply(points), whole.apply(points), atol=0.01)
    theirs = sitk.ReadTransform(str(tmp_path / "warp.h5"))
    assert theirs.GetNumberOfTransforms() == 4
    expected = [np.array(theirs.TransformPoint((p * (-1, -1, 1)).tolist())) * (-1, -1, 1) for p in points]
    np.testing.assert_allclose(whole.apply(points), expected, atol=0.01)


def test_the_nifti_header_says_what_itk_wants(case):
    header = nib.load(case[0] / "warp.nii.gz").header
    assert header.get_data_shape() == (40, 36, 30, 1, 3)
    assert header["intent_code"] == 1007 and header.get_data_dtype() == np.float32
    assert (header["sform_code"], header["qform_code"]) == (1, 1)
    np.testing.assert_allclose(header.get_sform(), fixed_grid().affine, atol=1e-4)
    np.testing.assert_allclose(header.get_qform(), fixed_grid().affine, atol=1e-4)


@pytest.mark.parametrize(
    "theirs",
    [
        sitk.Euler3DTransform((5.0, 6.0, 7.0), 0.1, 0.2, 0.3, (1.0, 2.0, 3.0)),
        sitk.TranslationTransform(3, (1.0, -2.0, 3.0)),
        sitk.Similarity3DTransform(1.2, (0.0, 0.0, 1.0), 0.4, (1.0, 2.0, 3.0)),
    ],
)
def test_other_linear_transforms_of_itk_are_read(tmp_path, theirs):
    sitk.WriteTransform(theirs, str(tmp_path / "x.tfm"))
    ours = read_transform(tmp_path / "x.tfm")
    point = np.array([10.0, 20.0, -30.0])
    expected = np.array(theirs.TransformPoint(point.tolist())) * (-1, -1, 1)
    np.testing.assert_allclose(ours.apply(point * (-1, -1, 1)), expected, atol=1e-9)


def test_what_ants_writes_is_read(tmp_path):
    ants = pytest.importorskip("ants", reason="antspyx is not installed")
    grid = centred_grid((24, 24, 24), (1, 1, 1), (0.1, 0.2, 0.3), (5, 6, 7))
    for name, seed in (("f", 0), ("m", 1)):
        write_image(tmp_path / f"{name}.nii.gz", smooth_image(grid.shape, seed), grid)
    fixed, moving = (ants.image_read(str(tmp_path / f"{n}.nii.gz")) for n in "fm")
    prefix = str(tmp_path / "out")
    result = ants.registration(
        fixed,
        moving,
        "SyN",
        outprefix=prefix,
        aff_iterations=(5,),
        aff_shrink_factors=(1,),
        aff_smoothing_sigmas=(0,),
        reg_iterations=(5,),
    )
    warp = next(path for path in result["fwdtransforms"] if path.endswith("Warp.nii.gz"))
    ours = resample(smooth_image(grid.shape, 1), grid, grid, read_transform(warp))
    theirs = ants.apply_transforms(fixed, moving, [warp], interpolator="linear").numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_images_cross_over_and_back():
    data, grid = smooth_image((5, 6, 7)), centred_grid((5, 6, 7), (1, -2, 3), (0.3, 0.2, 0.1), (4, 5, 6))
    image = to_sitk(data, grid)
    np.testing.assert_allclose(
        image.TransformIndexToPhysicalPoint((1, 2, 3)), grid.index_to_points((1, 2, 3)) * (-1, -1, 1)
    )
    back, back_grid = from_sitk(image)
    np.testing.assert_array_equal(back, data)
    assert back_grid.isclose(grid, 1e-9) and grid_from_sitk(image).isclose(grid, 1e-9)
    assert to_sitk(data > 0.5, grid).GetPixelIDTypeAsString() == "8-bit unsigned integer"
    with pytest.raises(InputError, match="3-D image"):
        grid_from_sitk(sitk.Image(4, 4, sitk.sitkUInt8))


def _not_a_vector(folder, shape, intent):
    image = nib.Nifti1Image(np.zeros(shape, np.float32), np.eye(4))
    image.header.set_intent(intent)
    nib.save(image, folder / "x.nii.gz")
    return folder / "x.nii.gz"


def _file(folder, name, content=b"nothing of the kind\n" * 9):
    (folder / name).write_bytes(content)
    return folder / name


def _saved(folder, name, save):
    save(folder / name)
    return folder / name


BAD_TRANSFORMS = {
    "missing": (lambda f: f / "none.h5", "no such file"),
    "ending": (lambda f: _file(f, "x.xfm"), "unknown ending"),
    "no h5": (lambda f: _file(f, "x.h5"), "HDF5 file"),
    "no tfm": (lambda f: _file(f, "x.tfm"), "cannot be read as an ITK transform"),
    "no nii.gz": (lambda f: _file(f, "x.nii.gz"), "cannot be read as a displacement field"),
    "no npz": (lambda f: _file(f, "x.npz"), "cannot be read as an .npz warp"),
    "no npy": (lambda f: _file(f, "x.npy"), "cannot be read as a 4x4 affine"),
    "empty npz": (lambda f: _file(f, "x.npz", b""), "cannot be read as an .npz warp"),
    "an image": (lambda f: _not_a_vector(f, (4, 4, 4), 0), r"must have shape \(X, Y, Z, 1, 3\)"),
    "4-D": (lambda f: _not_a_vector(f, (4, 4, 4, 3), 1007), r"must have shape \(X, Y, Z, 1, 3\)"),
    "RAS intent": (lambda f: _not_a_vector(f, (4, 4, 4, 1, 3), 1006), "intent 1007"),
    "2-D": (
        lambda f: _saved(f, "x.tfm", lambda p: sitk.WriteTransform(sitk.AffineTransform(2), str(p))),
        "3-D transform is needed",
    ),
    "spline": (
        lambda f: _saved(f, "x.tfm", lambda p: sitk.WriteTransform(sitk.BSplineTransform(3), str(p))),
        "not supported",
    ),
    "3x3": (lambda f: _saved(f, "x.npy", lambda p: np.save(p, np.eye(3))), "4x4"),
    "pickle": (
        lambda f: _saved(f, "x.npy", lambda p: np.save(p, np.array([{}]), allow_pickle=True)),
        "cannot be read",
    ),
}


@pytest.mark.parametrize("case_name", BAD_TRANSFORMS)
def test_a_bad_transform_file_gets_one_line(tmp_path, case_name):
    make, fault = BAD_TRANSFORMS[case_name]
    path = make(tmp_path)
    with pytest.raises(InputError, match=fault) as caught:
        read_transform(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_what_cannot_be_written(case, tmp_path):
    _, transform, _, _ = case
    with pytest.raises(InputError, match="x.tfm: holds an affine only"):
        write_transform(tmp_path / "x.tfm", transform)
    with pytest.raises(InputError, match="x.xfm: unknown ending"):
        write_transform(tmp_path / "x.xfm", transform)
    for name in ("x.nii.gz", "x.npz"):
        with pytest.raises(InputError, match="needs the grid of the fixed image"):
            write_transform(tmp_path / name, transform)
    with pytest.raises(InputError, match="does not exist"):
        write_transform(tmp_path / "none" / "x.h5", transform)
    assert not list(tmp_path.iterdir())


def test_a_composite_of_affines_is_an_affine(tmp_path):
    one = rigid_and_scale(fixed_grid(), moving_grid())
    write_transform(tmp_path / "x.npy", Composite([one, one.inverse(), one]))
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), one.matrix, atol=1e-9)


def test_a_field_alone_lies_in_a_file_as_simpleitk_writes_it(tmp_path):
    field = smooth_field(fixed_grid(), 2)
    field = DenseField(np.round(field.displacement / FIELD_STEP_MM) * np.float32(FIELD_STEP_MM), field.grid)
    write_itk(tmp_path / "ours.h5", field)
    sitk.WriteTransform(to_sitk_transform(field), str(tmp_path / "theirs.h5"))
    ours, theirs = (sitk.ReadTransform(str(tmp_path / name)) for name in ("ours.h5", "theirs.h5"))
    assert ours.GetParameters() == theirs.GetParameters()
    np.testing.assert_allclose(ours.GetFixedParameters(), theirs.GetFixedParameters(), rtol=1e-12)
    assert ours.GetName() == theirs.GetName()


def test_a_disk_that_fills_up_leaves_nothing(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(InputError, match=r"warp.h5: cannot be written \(No space"):
        write_itk(tmp_path / "warp.h5", smooth_field(fixed_grid(), 2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("order", [1, -1], ids=["field last", "field first"])
def test_a_packed_file_has_no_hole(tmp_path, order):
    """A smooth field is a fraction of its raw size, wherever it stands among the parts; SimpleITK reads it."""
    grid = Grid((24, 24, 24), np.diag([1.0, 1, 1, 1]))
    field = DenseField(np.zeros((24, 24, 24, 3), np.float32), grid)
    write_itk(tmp_path / "warp.h5", Composite([field, Affine(np.eye(4))][::order]))
    assert (tmp_path / "warp.h5").stat().st_size < 0.2 * 24**3 * 3 * 8
    assert [path.name for path in tmp_path.iterdir()] == ["warp.h5"]
    point = (3.0, 4.0, 5.0)
    assert sitk.ReadTransform(str(tmp_path / "warp.h5")).TransformPoint(point) == pytest.approx(point)


@pytest.mark.filterwarnings("error")
def test_an_empty_matrix_file_is_one_line(tmp_path):
    (tmp_path / "a.mat").write_text("")
    with pytest.raises(InputError, match=r"a\.mat: "):
        read_transform(tmp_path / "a.mat")
