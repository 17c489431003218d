"""This package's methods on files: registration with its options, and a network on crops as they are."""

from types import SimpleNamespace

import numpy as np
import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation import CropMethod, RegisterMethod, evaluate, measure, outcome_of, pair_labels
from acsgreg_tf.geometry import network_grid
from acsgreg_tf.io.images import Image, as_label
from acsgreg_tf.registration import register
from tests.evaluation.cases import save_shifting_network
from tests.registration.cases import NUMBER, grid_about, save, save_network, scan

CROP = (32, 32, 32)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """One vertebra in two scans, the pair of them, and a network that shifts by two voxels along x."""
    folder = tmp_path_factory.mktemp("case")
    pair = {"level": "L3", "label": ""}
    for name, place in {"fixed": (12.5, -30.0, 55.5), "moving": (-200.0, 40.5, 7.0)}.items():
        ct, label = scan(grid_about(place, (40, 40, 40), (1, 1, 1)), place)
        pair |= {name: save(ct, folder / f"{name}.nii.gz"), f"{name}_seg": save(label, folder / f"{name}_seg.nii.gz")}
    return pair, save_shifting_network(folder / "shift.h5", CROP, (2, 0, 0))


def test_registration_is_measured_as_its_result_is(case):
    """One vertebra twice: it overlaps before, is two voxels off by the network's affine, and fits by the fitted one."""
    pair, model = case
    own = measure(RegisterMethod(model, options=(("refine", 0), ("fit_affine", False))).run(pair))
    assert own["dice_before"] > 0.97 and own["dice_affine"] == own["dice_deformable"] < 0.85
    assert own["hd95_mm_affine"] == pytest.approx(2, abs=0.3) and own["folds_count"] == own["inverse_error_mm"] == 0
    fitted = RegisterMethod(model).run(pair)
    assert measure(fitted)["dice_affine"] > 0.97
    result = register(
        pair["fixed"],
        pair["moving"],
        model=model,
        fixed_seg=pair["fixed_seg"],
        moving_seg=pair["moving_seg"],
        label=NUMBER,
    )
    expected = measure(outcome_of(result, pair_labels(pair)[1]))
    row = measure(fitted)
    assert row | {"seconds": 0} == pytest.approx(expected | {"seconds": 0}, abs=1e-5, nan_ok=True)
    assert row["dice_deformable"] == pytest.approx(result.summary["dice"]["deformable"], abs=1e-5)
    assert row["seconds"] > 0 and row["network_folds_count"] == row["written_folds_count"] == 0
    assert row["inverse_folds_count"] == 0
    # What the network's own affine reached is in the row of the fitted one too.
    assert row["dice_network_affine"] == pytest.approx(own["dice_affine"], abs=1e-5)
    assert row["assd_mm_network_affine"] == pytest.approx(own["assd_mm_affine"], abs=1e-5)


def test_the_name_and_the_origin_tell_models_and_options_apart(case, tmp_path):
    _, model = case
    plain, own = RegisterMethod(model), RegisterMethod(model, options=(("fit_affine", False),))
    refined = RegisterMethod(model, options=(("refine", 5),))
    assert [method.name for method in (plain, own, refined)] == ["shift", "shift fit_affine False", "shift refine 5"]
    origins = {method.made_by() for method in (plain, own, refined)}
    other = save_shifting_network(tmp_path / "shift.h5", CROP, (3, 0, 0))
    assert len(origins | {RegisterMethod(other).made_by()}) == 4
    assert RegisterMethod("none", (("refine", 1),)).made_by().startswith("no network")
    assert [RegisterMethod(name).made_by().split(", ")[-1] for name in (model, "none")] == ["refine=8", "refine=50"]
    with pytest.raises(InputError, match="gone.h5"):
        RegisterMethod("gone.h5").made_by()


@pytest.mark.trains
def test_a_refinement_with_parts_is_a_method_of_its_own(case, tmp_path):
    pair, model = case
    options = (("refine", 20), ("smoothness", 0.1))
    refined, with_parts = RegisterMethod(model, options), RegisterMethod(model, options, with_parts=True)
    assert with_parts.name == f"{refined.name} with parts"
    assert with_parts.made_by() == f"{refined.made_by()}, with parts"
    for side, border in (("fixed", 0), ("moving", 2)):
        label = as_label(pair[f"{side}_seg"])
        middle = label.grid.points()[label.data == NUMBER][:, 1].mean()
        front = label.grid.points()[..., 1] > middle + border
        parts = Image(np.where(label.data == NUMBER, np.where(front, 50, 41), 0).astype(np.int16), label.grid)
        pair = {**pair, f"{side}_parts": save(parts, tmp_path / f"{side}_parts.nii.gz")}
    plain, better = (measure(method.run(pair), pair) for method in (refined, with_parts))
    assert better["dice_parts"] > plain["dice_parts"] + 0.02
    without = measure(with_parts.run(case[0]))  # a pair without parts is registered as ever
    assert without["dice_deformable"] == pytest.approx(plain["dice_deformable"], abs=1e-6)


def test_a_refinement_that_ctrl_c_cut_short_is_no_outcome(case, monkeypatch):
    stopped = SimpleNamespace(summary={"refinement": {"stopped": True}})
    monkeypatch.setattr("acsgreg_tf.evaluation.methods.register", lambda *arguments, **options: stopped)
    with pytest.raises(KeyboardInterrupt):
        RegisterMethod(case[1], (("refine", 3),)).run(case[0])


def test_a_network_of_nan_is_refused_and_its_file_is_read_again_when_it_changed(case, tmp_path):
    pair, _ = case
    path = save_network(tmp_path / "net.h5", CROP, spoilt=True)
    with pytest.raises(InputError, match="net.h5: .*NaN"):
        RegisterMethod(path).check()
    save_shifting_network(path, CROP, (0, 0, 0))
    assert measure(RegisterMethod(path).run(pair))["dice_affine"] > 0.97


@pytest.fixture
def crops(tmp_path):
    """Crops with 2 mm voxels, two voxels apart."""
    pair = {"level": "L3", "label": ""}
    for name, shift in (("fixed", 0.0), ("moving", 4.0)):
        ct, label = scan(network_grid((shift / 3, 0, 0), CROP, 2 / 3))  # on 2 mm, a shape three times as large
        inside = label.data == NUMBER
        image = np.where(inside, np.clip((ct.data + 200) / 1700, 0, 1), 0).astype("float32")
        for key, data in ((name, image), (f"{name}_seg", inside.astype("uint8"))):
            pair[key] = save(Image(data, network_grid((0, 0, 0), CROP, 2.0)), tmp_path / f"{key}.nii.gz")
    return pair


def test_crops_are_measured_in_mm_of_their_own_spacing(crops, tmp_path):
    """4 mm before, and nothing after the affine that brings them back."""
    method = CropMethod(save_shifting_network(tmp_path / "back.h5", CROP, (-2, 0, 0)), "study")
    (row,) = evaluate([method], [crops], tmp_path / "out.csv")
    assert row["fault"] == "" and row["method"] == "study"
    assert 1 < row["assd_mm_before"] < 4 and row["hd95_mm_before"] == pytest.approx(4, abs=0.01)
    # A centre that lies on the shape's border may fall on either side of it, so not quite 1.
    assert row["dice_affine"] == row["dice_deformable"] > 0.998 and row["assd_mm_affine"] < 0.01
    assert row["folds_count"] == 0 and row["inverse_error_mm"] == 0


def test_a_label_beside_its_crop_is_refused(crops, case):
    save(Image(np.ones(CROP, "uint8"), network_grid((9, 0, 0), CROP, 2.0)), crops["moving_seg"])
    with pytest.raises(InputError, match="moving_seg.nii.gz: .*moving.nii.gz"):
        CropMethod(case[1], "study").run(crops)
