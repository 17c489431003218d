import itertools
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import Phase, given
from hypothesis import strategies as st

from acsgreg_tf import metrics
from acsgreg_tf.anatomy.intensity import AIR
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import Affine, resample
from acsgreg_tf.io.images import Image
from acsgreg_tf.io.transforms import to_sitk, to_sitk_transform, write_transform
from acsgreg_tf.registration import STEPS, default_model, load_model, register, run_network
from acsgreg_tf.registration.deformation import Deformation
from acsgreg_tf.registration.inverse_error import inverse_error
from acsgreg_tf.registration.margin import with_margin
from acsgreg_tf.registration.refine import DEFAULT_SMOOTHNESS, DEFAULT_STEPS, FULL_STEPS
from tests.explore import examples
from tests.registration.cases import (
    BOX,
    NUMBER,
    CentroidNetwork,
    KnownNetwork,
    grid_about,
    reoriented,
    save,
    save_network,
    scan,
    smooth_velocity,
    to_nifti,
)

SPINES = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "spines"
FIXED, MOVING = (12.5, -30.0, 55.5), (-200.0, 40.5, 7.0)


def one_millimetre(place=FIXED):
    return scan(grid_about(place, (44, 46, 52), 1), place)


def oblique_fixed():
    return scan(grid_about(FIXED, (40, 36, 30), (1, 1.2, 1.6), (0.2, -0.1, 0.3), "PIR"), FIXED, name="fixed")


def oblique_moving():
    return scan(grid_about(MOVING, (30, 50, 36), (1.5, 0.9, 1.3), (-0.3, 0.2, 0.1), "LSA"), MOVING, name="moving")


def bending():
    """A network that turns, stretches, shifts and bends."""
    affine = np.eye(3, 4) + 0.08 * np.random.default_rng(3).uniform(-1, 1, (3, 4))
    affine[:, 3] = (1.5, -2, 1)
    return KnownNetwork(affine, smooth_velocity((16, 16, 16), 1.5))


def run(network, fixed, moving, **options):
    """Register with the network's affine and velocity as they are, which a known answer needs."""
    options = {"fit_affine": network == "none", "refine": 0} | options
    return register(
        fixed[0], moving[0], fixed_seg=fixed[1], moving_seg=moving[1], label=NUMBER, model=network, **options
    )


# known answers


def test_an_image_registered_to_itself_by_the_identity_stays():
    ct, label = one_millimetre()
    result = run(KnownNetwork(), (ct, label), (ct, label))
    np.testing.assert_allclose(result.moved.data, ct.data, atol=1e-3)
    np.testing.assert_array_equal(result.moved_seg.data, np.where(label.data == NUMBER, NUMBER, 0))
    np.testing.assert_allclose(result.affine.matrix, np.eye(4), atol=1e-12)
    summary = result.summary
    assert summary["dice"] == {"before": 1, "affine": 1, "deformable": 1}
    assert summary["assd_mm"]["deformable"] == 0
    assert summary["dice_on_fixed_grid"] == 1
    assert summary["folds"] == {"count": 0, "percent": 0, "network": 0}
    assert summary["inverse_error_mm"] == 0
    assert summary["ncc"]["deformable"] == pytest.approx(1)


def test_the_same_vertebra_elsewhere_is_laid_on_itself():
    """The scanner frames differ by a whole shift, which the centring of the boxes finds alone."""
    result = run(KnownNetwork(), one_millimetre(FIXED), one_millimetre(MOVING))
    np.testing.assert_allclose(result.affine.matrix[:3, 3], np.subtract(MOVING, FIXED), atol=1e-9)
    np.testing.assert_allclose(result.moved.data, one_millimetre(FIXED)[0].data, atol=1e-2)


def test_whole_voxel_shift_of_the_affine():
    ct, label = one_millimetre()
    affine = np.eye(3, 4)
    affine[:, 3] = (2, -1, 3)
    result = run(KnownNetwork(affine), (ct, label), (ct, label))
    np.testing.assert_allclose(result.moved.data[:-2, 1:, :-3], ct.data[2:, :-1, 3:], atol=1e-2)
    np.testing.assert_allclose(result.transform.apply(FIXED), np.add(FIXED, (2, -1, 3)), atol=1e-6)
    np.testing.assert_allclose(result.inverse.apply(np.add(FIXED, (2, -1, 3))), FIXED, atol=1e-6)


def on_bone(result, velocity):
    """A velocity [x, y, z, 3] at the lattice voxels nearest to the fixed vertebra's."""
    index = np.rint(np.argwhere(result.fixed.label) / result.deformation.step).astype(int)
    return velocity[tuple(index.T)]


def test_the_deformation_comes_before_the_affine():
    """p_fixed -> phi -> A -> moving: a constant velocity is a shift, which the affine then stretches."""
    velocity = np.broadcast_to(np.float32((0.5, 0, 0)), (16, 16, 16, 3))
    affine = np.diag([1.2, 1, 1, 1])[:3]
    result = run(KnownNetwork(affine, velocity), one_millimetre(), one_millimetre())
    centre = result.fixed.grid.center
    shift = 0.5 * 31 / 15  # the velocity lives on a grid whose corner voxels are those of the full one
    np.testing.assert_allclose(result.transform.apply(centre) - centre, (1.2 * shift, 0, 0), atol=1e-5)
    np.testing.assert_allclose(result.displacement[result.fixed.label][:, 0], shift, atol=1e-5)


def test_a_known_affine_between_oblique_scans_is_undone():
    """The moving scan is the fixed one's vertebra, turned and stretched; the right affine brings it back."""
    truth = np.array([[1.06, 0.08, 0, 1], [-0.05, 0.95, 0.04, -1], [0.02, 0, 1.03, 0.5]])
    fixed = oblique_fixed()
    grid = grid_about(FIXED, (60, 52, 66), (0.7, 0.8, 0.7), (0.1, 0.2, -0.1), "ASL")
    probe = run(KnownNetwork(truth), fixed, scan(grid, FIXED))
    # What that network says in the world depends on where the boxes lie; so ask it, and build the moving scan by it.
    moving = scan(grid, FIXED, transform=probe.affine.inverse())
    result = run(KnownNetwork(truth), fixed, moving)
    apart = result.affine.apply(fixed[0].grid.points()) - probe.affine.apply(fixed[0].grid.points())
    assert np.ptp(apart, axis=(0, 1, 2)).max() < 1e-9  # the linear part is the truth; the box may lie elsewhere
    assert np.abs(apart).max() < 1.5
    shifted = Affine(np.vstack([np.c_[np.eye(3), -apart[0, 0, 0]], (0, 0, 0, 1)]))
    moved = resample(moving[0].data, grid, fixed[0].grid, result.affine.compose(shifted))
    inside = fixed[1].data == NUMBER
    assert np.corrcoef(moved[inside], fixed[0].data[inside])[0, 1] > 0.98


def test_measures_are_those_of_the_images_that_are_given():
    result = run(bending(), oblique_fixed(), oblique_moving())
    for stage in ("before", "affine", "deformable"):
        assert result.summary["dice"][stage] == metrics.dice(result.fixed.label, result.labels[stage])
    assert result.summary["folds"]["count"] == metrics.folds(result.displacement).count
    np.testing.assert_array_equal(
        result.images["deformable"],
        resample(result.moving.image, result.moving.grid, result.fixed.grid, result.transform),
    )
    fixed_label = oblique_fixed()[1].data == NUMBER
    assert result.summary["dice_on_fixed_grid"] == metrics.dice(fixed_label, result.moved_seg.data)


# round trips with the real tools


def test_simpleitk_and_ants_make_the_same_of_the_files(tmp_path):
    fixed, moving = oblique_fixed(), oblique_moving()
    result = run(bending(), fixed, moving)
    assert np.linalg.norm(result.displacement, axis=-1).max() > 1
    for ending in (".h5", ".nii.gz"):
        path = str(tmp_path / f"warp{ending}")
        write_transform(path, result.transform, fixed[0].grid)
        if ending == ".h5":
            transform = sitk.ReadTransform(path)
        else:
            transform = sitk.DisplacementFieldTransform(sitk.ReadImage(path, sitk.sitkVectorFloat64))
        reference = to_sitk(fixed[0].data, fixed[0].grid)
        ct = to_sitk(*volume(moving[0]))
        moved = sitk.GetArrayFromImage(sitk.Resample(ct, reference, transform, sitk.sitkLinear, -1024.0)).T
        assert np.abs(moved - result.moved.data).max() < 1e-3 * np.ptp(moving[0].data)
        mask = Image((moving[1].data == NUMBER).astype(np.float32), moving[1].grid)
        label = sitk.GetArrayFromImage(sitk.Resample(to_sitk(*volume(mask)), reference, transform)).T > 0.5
        assert metrics.dice(label, result.moved_seg.data) > 0.999
        assert metrics.dice(fixed[1].data == NUMBER, label) == pytest.approx(
            result.summary["dice_on_fixed_grid"], abs=0.002
        )

    ants = pytest.importorskip("ants")
    images = [ants.image_read(save(image, tmp_path / f"{n}.nii.gz")) for n, image in enumerate((fixed[0], moving[0]))]
    for ending in (".h5", ".nii.gz"):
        moved = ants.apply_transforms(*images, [str(tmp_path / f"warp{ending}")], defaultvalue=-1024).numpy()
        assert np.abs(moved - result.moved.data).max() < 1e-3 * np.ptp(moving[0].data)


def volume(image):
    return image.data, image.grid


def test_the_inverse_undoes_the_transform_inside_the_vertebra():
    fixed = oblique_fixed()
    result = run(bending(), fixed, oblique_moving())
    points = fixed[1].grid.index_to_points(np.argwhere(fixed[1].data == NUMBER))
    moved = result.transform.apply(points)
    assert np.linalg.norm(moved - result.affine.apply(points), axis=1).max() > 0.5
    error = np.linalg.norm(result.inverse.apply(moved) - points, axis=1)
    assert error.mean() < 0.1
    assert result.summary["inverse_error_mm"] < 0.1
    back = to_sitk_transform(result.inverse)
    assert back.TransformPoint((moved[0] * (-1, -1, 1)).tolist()) == pytest.approx(
        result.inverse.apply(moved[0]) * (-1, -1, 1), abs=1e-4
    )


def test_a_network_whose_field_folds_yields_a_transform_that_does_not():
    """The velocity is smoothed where it folds, and left alone far from there."""
    velocity = smooth_velocity((16, 16, 16), 1.5)
    velocity[7:10, 7:10, 7:10] += np.random.default_rng(0).normal(scale=3, size=(3, 3, 3, 3)).astype("float32")
    network = KnownNetwork(velocity=velocity)
    result = run(network, oblique_fixed(), oblique_moving())
    raw = np.asarray(network({}, training=False)["phi"])[0]
    assert result.summary["folds"] == {"count": 0, "percent": 0, "network": metrics.folds(raw).count}
    assert metrics.folds(raw).count > 0 and not metrics.folded_cells(result.displacement).any()
    faded = with_margin(Deformation(np.eye(3, 4), velocity, raw.shape[:3]), result.fixed.label)
    np.testing.assert_array_equal(result.velocity[:2], faded.box_velocity[:2])


def test_the_affine_is_fitted_to_the_surfaces():
    """A network that is a few voxels and degrees off; the deformable part goes on from the better affine."""
    fixed, moving = (
        scan(grid_about(FIXED, (96,) * 3, 1), FIXED, size=2),
        scan(grid_about(MOVING, (96,) * 3, 1), MOVING, size=2),
    )
    wrong = np.eye(3, 4) + 0.05 * np.random.default_rng(0).uniform(-1, 1, (3, 4))
    wrong[:, 3] = (2, -1.5, 1)
    asked = []

    class Network(KnownNetwork):
        def deformable_net(self, images, training):
            asked.append(images)
            return super().deformable_net(images, training)

    network = Network(wrong, smooth_velocity((32, 32, 32), 0.5), inshape=(64, 64, 64))
    own, fitted = (run(network, fixed, moving, fit_affine=fit) for fit in (False, True))
    truth = np.eye(4)
    truth[:3, 3] = np.subtract(MOVING, FIXED)
    points = fixed[1].grid.index_to_points(np.argwhere(fixed[1].data == NUMBER))

    def miss(result):
        return np.linalg.norm(result.affine.apply(points) - Affine(truth).apply(points), axis=1).mean()

    assert miss(own) > 1.5 and miss(fitted) < 0.1
    assert own.summary["affine_fit_mm"] is None and fitted.summary["affine_fit_mm"] == pytest.approx(
        miss(own), abs=0.15
    )
    assert own.summary["dice"]["affine"] < 0.95 and fitted.summary["dice"]["affine"] > 0.98
    _, m_a = asked[-1]
    np.testing.assert_allclose(np.array(m_a)[0, ..., 0], fitted.images["affine"], atol=1e-4)
    np.testing.assert_array_equal(*(on_bone(fitted, velocity) for velocity in (fitted.velocity, network.velocity)))


@pytest.mark.trains
def test_refinement_goes_on_from_the_fitted_affine(monkeypatch):
    wrong = np.c_[np.eye(3), (1.5, -1, 0.5)]
    own, fitted = (
        refined(monkeypatch, KnownNetwork(wrong, inshape=SMALL_BOX), refine=4, fit_affine=fit) for fit in (False, True)
    )
    assert fitted.summary["affine_fit_mm"] > 1 and own.summary["affine_fit_mm"] is None
    start = [result.summary["refinement"]["objective"]["start"] for result in (own, fitted)]
    assert start[1] < start[0] - 0.5 and fitted.summary["refinement"]["objective"]["end"] < start[0] - 0.5


def test_the_affine_is_fitted_to_crops_without_labels_too():
    """Their borders are the surfaces."""
    crops = []
    for ct, label in (one_millimetre(FIXED), one_millimetre(MOVING)):
        masked = np.where(label.data == NUMBER, np.clip((ct.data + 200) / 1700, 0, 1), 0)
        crops.append(Image(masked.astype(np.float32), ct.grid, "crop"))
    result = register(*crops, model=KnownNetwork(np.c_[np.eye(3), (1.5, -1, 0.5)]))
    assert result.summary["affine_fit_mm"] == pytest.approx(np.linalg.norm((1.5, -1, 0.5)), abs=0.1)
    assert result.summary["ncc"]["affine"] > 0.97


def test_labels_of_two_tools():
    (fixed, fixed_seg), (moving, moving_seg) = one_millimetre(FIXED), one_millimetre(MOVING)
    other = Image(np.where(moving_seg.data == NUMBER, 29, 0).astype("int16"), moving_seg.grid, "other")
    given = {"model": KnownNetwork(), "fixed_seg": fixed_seg, "moving_seg": other}
    for options in ({"label": NUMBER, "moving_label": 29}, {"level": "L3", "moving_table": "totalsegmentator"}):
        assert register(fixed, moving, **given, **options).summary["label"] == {"fixed": NUMBER, "moving": 29}
    alone = {**given, "fixed_seg": None}  # only the moving map's table needs to know the level
    masked = Image(np.where(fixed_seg.data == NUMBER, fixed.data, 0), fixed.grid, "crop")
    assert register(masked, moving, **alone, level="V", moving_table="V=29").summary["label"] == {
        "fixed": None,
        "moving": 29,
    }
    assert "moving_table verse: goes with" in refused(fixed, moving, **given, label=NUMBER, moving_table="verse")
    assert "moving_label 29: goes with" in refused(fixed, moving, **given, level="L3", moving_label=29)


def test_the_networks_own_affine_is_there_beside_the_fitted_one():
    wrong = np.c_[np.eye(3), (1.5, -1, 0.5)]
    result = run(KnownNetwork(wrong), one_millimetre(FIXED), one_millimetre(MOVING), fit_affine=True)
    shift = np.subtract(MOVING, FIXED)
    np.testing.assert_allclose(result.network_affine.apply([FIXED])[0] - FIXED, shift + (1.5, -1, 0.5), atol=1e-5)
    np.testing.assert_allclose(result.affine.apply([FIXED])[0] - FIXED, shift, atol=0.15)


def test_without_surfaces_the_networks_affine_stays():
    """Labels that fill the box show no surface."""
    full = Image(np.random.default_rng(0).uniform(0.1, 1, BOX).astype("float32"), grid_about(FIXED, BOX, 1), "full")
    label = Image(np.ones(BOX, "int16"), full.grid, "label")
    affine = np.eye(3, 4)
    affine[0, 3] = 1
    with pytest.warns(UserWarning, match="reaches the edge of full"):
        result = register(full, full, fixed_seg=label, moving_seg=label, model=KnownNetwork(affine), refine=0)
    assert result.summary["affine_fit_mm"] is None
    np.testing.assert_allclose(result.affine.matrix[:3, 3], (1, 0, 0), atol=1e-6)


def test_without_a_network_there_is_no_other_affine():
    ct, label = one_millimetre()
    both = {"fixed_seg": label, "moving_seg": label, "label": NUMBER}
    assert "fit_affine False" in refused(ct, ct, **both, model="none", fit_affine=False)


# any input


@pytest.mark.parametrize("number", range(0, 48, 5))
def test_the_orientation_of_the_files_does_not_matter(number):
    """Ten of the 48 ways to store a volume; data/test_vertebrae.py takes all, up to the network's input."""
    ways = itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3))
    axes, signs = list(ways)[number]
    orientation = np.array(list(zip(axes, signs, strict=True)), float)
    fixed, moving = oblique_fixed(), oblique_moving()
    points = fixed[1].grid.index_to_points(np.argwhere(fixed[1].data == NUMBER))
    expected = run(CentroidNetwork(), fixed, moving).transform.apply(points)
    resaved = [[reoriented(image, orientation) for image in pair] for pair in (fixed, moving)]
    found = run(CentroidNetwork(), *resaved).transform.apply(points)
    assert np.linalg.norm(found - expected, axis=1).max() < 0.01


ORIENTATIONS = [
    "".join(code) for axes in itertools.permutations(("RL", "AP", "SI")) for code in itertools.product(*axes)
]
SPACINGS = st.tuples(*[st.floats(0.5, 1.5)] * 3)


@pytest.fixture(scope="module")
def at_half_a_millimetre():
    """Points of the vertebra, twice its size, and where two scans of it send them, without and with the fit."""
    scans = [scan(grid_about(place, (128, 128, 128), 0.5), place, size=2) for place in (FIXED, MOVING)]
    points = scans[0][1].grid.index_to_points(np.argwhere(scans[0][1].data == NUMBER)[::500])
    network = CentroidNetwork((64, 64, 64))
    return points, {fit: run(network, *scans, fit_affine=fit).transform.apply(points) for fit in (False, True)}


@pytest.mark.slow
@examples(12, phases=(Phase.explicit, Phase.generate))
@given(
    spacings=st.tuples(SPACINGS, SPACINGS),
    codes=st.tuples(*[st.sampled_from(ORIENTATIONS)] * 2),
    seed=st.integers(0, 99),
)
def test_spacing_orientation_and_shape_move_the_transform_by_less_than_a_fifth_of_a_millimetre(
    at_half_a_millimetre, spacings, codes, seed
):
    """The same two vertebrae saved anew, at any place between the voxels."""
    draw = np.random.default_rng(seed)
    points, expected = at_half_a_millimetre
    anew = []
    for place, spacing, code in zip((FIXED, MOVING), spacings, codes, strict=True):
        shape = tuple(int(side / s) for side, s in zip(draw.integers(60, 72, 3), spacing, strict=True))
        anew.append(
            scan(grid_about(np.add(place, draw.uniform(-1, 1, 3)), shape, spacing, axcodes=code), place, size=2)
        )
    for fit, places in expected.items():
        found = run(CentroidNetwork((64, 64, 64)), *anew, fit_affine=fit).transform.apply(points)
        assert np.linalg.norm(found - places, axis=1).max() < 0.2


def test_paths_nibabel_and_simpleitk_images_are_alike(tmp_path):
    fixed, moving = oblique_fixed(), oblique_moving()
    expected = run(bending(), fixed, moving)
    files = [[save(image, tmp_path / f"{image.name}.nii.gz") for image in pair] for pair in (fixed, moving)]
    nifti = [[to_nifti(image) for image in pair] for pair in (fixed, moving)]
    itk = [[to_sitk(*volume(image)) for image in pair] for pair in (fixed, moving)]
    for pair in (files, nifti, itk):
        result = run(bending(), *pair)
        np.testing.assert_allclose(result.moved.data, expected.moved.data, atol=0.05)
        assert result.summary["dice"] == pytest.approx(expected.summary["dice"], abs=1e-4)


def test_masked_crops_need_no_labels():
    crops = []
    for ct, label in (one_millimetre(FIXED), one_millimetre(MOVING)):
        masked = np.where(label.data == NUMBER, np.clip((ct.data + 200) / 1700, 0, 1), 0)
        crops.append(Image(masked.astype(np.float32), ct.grid, "crop"))
    result = register(*crops, model=KnownNetwork(), fit_affine=False)
    np.testing.assert_allclose(result.moved.data, crops[0].data, atol=1e-5)
    assert result.moved_seg is None and result.labels is None
    assert "dice" not in result.summary and "assd_mm" not in result.summary
    assert result.summary["ncc"]["before"] == pytest.approx(1)


def test_one_label_alone_serves_its_own_image():
    fixed, moving = one_millimetre(FIXED), one_millimetre(MOVING)
    crop = Image(np.where(moving[1].data == NUMBER, moving[0].data, 0), moving[0].grid, "crop")
    result = register(fixed[0], crop, model=KnownNetwork(), fixed_seg=fixed[1], level="L3")
    assert result.summary["label"] == {"fixed": NUMBER, "moving": None}
    assert "dice" not in result.summary and result.moved_seg is None


def test_label_map_on_another_grid_than_its_scan():
    ct, _ = one_millimetre(FIXED)
    _, label = scan(grid_about(FIXED, (60, 62, 70), 0.8, axcodes="LPS"), FIXED)
    result = run(KnownNetwork(), (ct, label), one_millimetre(MOVING))
    assert result.summary["dice_on_fixed_grid"] > 0.9
    assert result.moved_seg.grid is result.moved.grid


@pytest.mark.parametrize(
    "options", [{"level": "L3"}, {"level": "l3", "table": "L3=22"}, {"level": "V", "table": {"V": 22}}]
)
def test_levels_are_looked_up_in_the_table(options):
    fixed, moving = one_millimetre(FIXED), one_millimetre(MOVING)
    result = register(fixed[0], moving[0], fixed_seg=fixed[1], moving_seg=moving[1], model=KnownNetwork(), **options)
    assert result.summary["label"] == {"fixed": 22, "moving": 22}
    assert result.summary["level"] == options["level"]


def test_a_cut_vertebra_is_registered_with_a_warning():
    ct, label = one_millimetre()
    short = [Image(v.data[:, :, 22:], v.grid.crop((0, 0, 22), v.data.shape), v.name) for v in (ct, label)]
    with pytest.warns(UserWarning, match="scan_seg: label 22: reaches the edge of scan_ct"):
        result = run(KnownNetwork(), short, (ct, label))
    assert result.summary["cut"] == {"fixed": True, "moving": False}
    assert len(result.summary["warnings"]) == 1


def test_whole_scans_without_a_fault_give_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        result = run(KnownNetwork(), one_millimetre(), one_millimetre())
    assert result.summary["cut"] == {"fixed": False, "moving": False} and result.summary["warnings"] == []


def test_the_summary_is_plain_json_and_progress_is_reported():
    steps = []
    result = run(KnownNetwork(), one_millimetre(), one_millimetre(), progress=steps.append)
    assert json.loads(json.dumps(result.summary)) == result.summary
    assert steps == list(result.summary["seconds"])[:-1]
    assert result.summary["seconds"]["total"] >= max(result.summary["seconds"].values())


def test_figure():
    figure = run(bending(), one_millimetre(), one_millimetre()).figure("a title")
    assert figure.get_suptitle() == "a title"
    assert len(figure.axes) == 27


# refinement


SMALL_BOX = (24, 24, 16)


def refined(monkeypatch, model, **options):
    monkeypatch.setattr("acsgreg_tf.registration.pipeline.NETWORK_SHAPE", SMALL_BOX)
    return run(model, oblique_fixed(), oblique_moving(), **options)


@pytest.mark.trains
def test_refinement_improves_the_networks_estimate(monkeypatch):
    steps, network = [], KnownNetwork(inshape=SMALL_BOX)
    plain = refined(monkeypatch, network)
    result = refined(monkeypatch, network, refine=16, refine_progress=lambda *step: steps.append(step))
    assert "refinement" not in plain.summary and "refining" not in plain.summary["seconds"]
    found = result.summary["refinement"]
    assert found["steps"] == 16 and not found["stopped"] and found["smoothness"] == DEFAULT_SMOOTHNESS
    assert found["objective"]["end"] < found["objective"]["start"] - 0.1
    assert set(found["terms"]) == {"lncc", "distance", "roughness", "folds"}
    assert [step[:2] for step in steps] == [(i + 1, 16) for i in range(16)]
    assert result.summary["dice"]["deformable"] > max(plain.summary["dice"]["deformable"], 0.9)
    assert result.summary["folds"]["count"] == 0 and result.summary["inverse_error_mm"] < 0.1
    assert json.loads(json.dumps(result.summary)) == result.summary
    assert list(result.summary["seconds"]) == [*STEPS, "total"]
    assert result.velocity.shape == (12, 12, 8, 3) and result.summary["model"] == "known"
    # What is written is what was measured.
    np.testing.assert_allclose(
        result.images["deformable"],
        resample(result.moving.image, result.moving.grid, result.fixed.grid, result.transform),
    )


@pytest.mark.trains
@pytest.mark.parametrize(("model", "steps"), [("network", DEFAULT_STEPS), ("none", FULL_STEPS)])
def test_by_default_few_steps_follow_a_network_and_a_whole_refinement_stands_alone(monkeypatch, model, steps):
    model = KnownNetwork(inshape=SMALL_BOX) if model == "network" else model
    result, without = (refined(monkeypatch, model, refine=refine) for refine in (None, 0))
    assert result.summary["refinement"]["steps"] == steps
    assert result.summary["dice"]["deformable"] > without.summary["dice"]["deformable"] + 0.01
    assert result.summary["folds"].get("network") == without.summary["folds"].get("network")


@pytest.mark.trains
def test_a_network_whose_displacement_is_not_integrated_is_refined_as_a_displacement(monkeypatch):
    network = KnownNetwork(velocity=smooth_velocity((12, 12, 8), 0.3), inshape=SMALL_BOX, int_steps=0)
    result = refined(monkeypatch, network, refine=DEFAULT_STEPS)
    found = result.summary["refinement"]
    assert result.deformation.int_steps == 0 and found["objective"]["end"] < found["objective"]["start"] - 0.1
    assert result.summary["dice"]["deformable"] > result.summary["dice"]["affine"]


@pytest.mark.trains
def test_without_a_network(monkeypatch):
    alone = refined(monkeypatch, "none", refine=16, smoothness=1.0)
    assert alone.summary["model"] == "none" and alone.summary["refinement"]["smoothness"] == 1
    assert alone.summary["refinement"]["steps"] == 16
    dice = alone.summary["dice"]
    assert dice["before"] < dice["affine"] < dice["deformable"] and dice["deformable"] > 0.9
    assert alone.summary["folds"]["count"] == 0
    affine = refined(monkeypatch, "none")
    assert not affine.velocity.any() and affine.summary["dice"]["affine"] == affine.summary["dice"]["deformable"] > 0.8
    assert "refinement" not in affine.summary


@pytest.mark.trains
def test_a_refinement_that_is_stopped_leaves_a_whole_result(monkeypatch):
    def stop(done, total, objective):
        if done == 10:
            raise KeyboardInterrupt

    result = refined(monkeypatch, KnownNetwork(inshape=SMALL_BOX), refine=16, refine_progress=stop)
    assert result.summary["refinement"]["stopped"] and result.summary["refinement"]["steps"] == 10
    assert result.summary["dice"]["deformable"] > result.summary["dice"]["before"]
    assert result.moved_seg.data.any() and result.figure() is not None


def test_bad_numbers_of_refinement_are_refused():
    ct, label = one_millimetre()
    both = {"fixed_seg": label, "moving_seg": label, "label": NUMBER, "model": KnownNetwork()}
    assert "refine -3: must be a whole number" in refused(ct, ct, **both, refine=-3)
    assert "refine 2.5: must be a whole number" in refused(ct, ct, **both, refine=2.5)
    assert "smoothness 2: goes with refine" in refused(ct, ct, **both, refine=0, smoothness=2.0)
    assert "smoothness -1: must be a number" in refused(ct, ct, **both, refine=3, smoothness=-1)


def test_run_network_is_what_register_uses():
    network = bending()
    result = run(network, oblique_fixed(), oblique_moving())
    deformation = run_network(network, result.fixed.image, result.moving.image)
    np.testing.assert_allclose(deformation.phi[result.fixed.label], result.displacement[result.fixed.label], atol=1e-3)
    np.testing.assert_array_equal(*(on_bone(result, v) for v in (deformation.velocity, result.velocity)))
    error = inverse_error(with_margin(deformation, result.fixed.label), result.fixed.label).misses
    assert error.mean() == pytest.approx(result.summary["inverse_error_mm"], abs=1e-4) and error.mean() > 0
    assert error.max() == pytest.approx(result.summary["inverse_error_max_mm"], abs=1e-3)
    with pytest.raises(InputError, match="output holds a NaN"):
        run_network(KnownNetwork(np.full((3, 4), np.nan)), result.fixed.image, result.moving.image)


# networks


def test_a_network_from_its_file(tmp_path):
    path = save_network(tmp_path / "small.h5")
    fixed, moving = oblique_fixed(), oblique_moving()
    result = run(path, fixed, moving)
    again = run(load_model(path), fixed, moving)
    # HU; threads of a backend may add up in another order.
    np.testing.assert_allclose(result.moved.data, again.moved.data, rtol=0, atol=0.001)
    assert result.fixed.image.shape == BOX
    assert result.velocity.shape == (16, 16, 16, 3)
    assert np.abs(result.displacement).max() > 0.1


def refused(*arguments, **options):
    with pytest.raises(InputError) as caught:
        register(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_models_that_cannot_register_are_refused(tmp_path):
    from acsgreg_tf.networks import AffineNet

    ct, label = one_millimetre()
    crop = Image(np.where(label.data == NUMBER, ct.data, 0), ct.grid, "crop")
    assert refused(crop, crop, model=str(tmp_path / "none.h5")).endswith("none.h5: no such model file")
    (tmp_path / "text.h5").write_text("hello")
    assert refused(crop, crop, model=tmp_path / "text.h5").endswith("text.h5: not an HDF5 file")
    AffineNet(BOX, (2,)).save(tmp_path / "affine.h5")
    assert "affine.h5: holds AffineNet" in refused(crop, crop, model=tmp_path / "affine.h5")
    assert "got int" in refused(crop, crop, model=3)
    spoilt = save_network(tmp_path / "spoilt.h5", spoilt=True)
    assert f"{spoilt}: holds weights that are NaN" in refused(crop, crop, model=spoilt)
    assert "output holds a NaN" in refused(crop, crop, model=KnownNetwork(np.full((3, 4), np.nan)))


def test_without_a_shipped_network_one_must_be_given(monkeypatch, tmp_path):
    monkeypatch.setattr("acsgreg_tf.io.presets.__file__", str(tmp_path / "acsgreg_tf" / "io" / "presets.py"))
    with pytest.raises(InputError, match="acsgreg_lumbar.h5: this installation came without"):
        default_model()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "acsgreg_lumbar.h5").touch()
    assert default_model() == tmp_path / "models" / "acsgreg_lumbar.h5"


# what cannot be done


def test_contradicting_or_missing_levels():
    ct, label = one_millimetre()
    both = {"fixed_seg": label, "moving_seg": label, "model": KnownNetwork()}
    assert "label 22 and level L3: give one" in refused(ct, ct, **both, label=22, level="L3")
    assert "level L3: needs a label map" in refused(ct, ct, level="L3", model=KnownNetwork())
    assert "label 22: needs a label map" in refused(ct, ct, label=22, model=KnownNetwork())
    assert "level 'L9': not in the label table" in refused(ct, ct, **both, level="L9")
    assert "scan_seg: does not hold label 24" in refused(ct, ct, **both, level="L5")
    assert "say which one" in refused(ct, ct, **both)
    lacking = Image(np.where(label.data == 22, 21, 0), label.grid, "other_seg")
    message = refused(ct, ct, fixed_seg=label, moving_seg=lacking, label=22, model=KnownNetwork())
    assert "other_seg: does not hold label 22" in message


@pytest.mark.parametrize("swap", [False, True])
def test_real_scans(tmp_path, swap):
    """L3 of two people as their files come, checked against SimpleITK alone."""
    if not SPINES.is_dir():
        pytest.skip("the real scans are not here; test_simpleitk_and_ants_make_the_same_of_the_files stands in")
    names = ("sub-verse012_ct", "sub-verse012_seg-vert_msk"), ("sub-ct_label-22_ct", "sub-ct_seg-vert_label-22_msk")
    files = [[SPINES / f"{name}.nii.gz" for name in pair] for pair in names]
    fixed, moving = files[::-1] if swap else files
    inshape = (128, 128, 64)
    affine = np.eye(3, 4) + 0.04 * np.random.default_rng(5).uniform(-1, 1, (3, 4))
    network = KnownNetwork(affine, smooth_velocity((64, 64, 32), 3), inshape)
    with pytest.warns(UserWarning, match="sub-verse012_seg.* reaches the edge"):
        result = run(network, fixed, moving)
    assert result.summary["cut"] == {"fixed": not swap, "moving": swap}

    write_transform(tmp_path / "warp.h5", result.transform)
    transform = sitk.ReadTransform(str(tmp_path / "warp.h5"))
    reference = sitk.ReadImage(str(fixed[1]))
    moving_mask = sitk.Cast(sitk.ReadImage(str(moving[1])) == NUMBER, sitk.sitkFloat32)
    moved = sitk.GetArrayFromImage(sitk.Resample(moving_mask, reference, transform)) > 0.5
    target = sitk.GetArrayFromImage(reference) == NUMBER
    assert metrics.dice(target, moved) == pytest.approx(result.summary["dice_on_fixed_grid"], abs=0.002)
    image = sitk.Resample(sitk.ReadImage(str(moving[0]), sitk.sitkFloat32), reference, transform, sitk.sitkLinear, AIR)
    assert np.abs(sitk.GetArrayFromImage(image).T - result.moved.data).max() < 1e-3 * np.ptp(result.moved.data)

    # The Dice in network space, from the files, too.
    box = to_sitk(np.zeros(inshape, np.float32), result.fixed.grid)
    moved = sitk.GetArrayFromImage(sitk.Resample(moving_mask, box, transform)).T > 0.5
    assert metrics.dice(result.fixed.label, moved) == pytest.approx(result.summary["dice"]["deformable"], abs=0.002)
