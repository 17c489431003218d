"""Parts in training: which are drawn, what is compared, and that a step learns from them."""

from dataclasses import replace

import keras
import nibabel as nib
import numpy as np
import pytest

from acsgreg_tf.cohort.augment import Augment
from acsgreg_tf.cohort.dataset import Vertebrae
from acsgreg_tf.errors import InputError
from acsgreg_tf.losses import SoftDice
from acsgreg_tf.training import FINE_TUNING, PairBatches, Recipe, fine_tune, training_model
from acsgreg_tf.training.model import losses_of
from acsgreg_tf.training.parts import DRAWN, channels, drawn_masks
from tests.training.test_run import network

SHAPE = (16, 16, 16)


def parts_map(numbers):
    """A cube cut across x into parts of these numbers."""
    parts = np.zeros(SHAPE, np.uint8)
    for number, at in zip(numbers, np.array_split(np.arange(4, 12), len(numbers)), strict=True):
        parts[at, 4:12, 4:12] = number
    return parts


@pytest.fixture
def files(tmp_path):
    """Four crops of one level, (images, labels, parts): the last has no map of parts."""
    lists = [], [], []
    for index, numbers in enumerate(([41, 42, 49, 50], [41, 42, 50, 50], [43, 42, 42, 50], [50])):
        parts = parts_map(numbers)
        volumes = (0.5 * (parts > 0).astype("float32"), (parts > 0).astype(np.uint8), parts)
        for paths, end, volume in zip(lists, ("ct", "seg", "parts"), volumes, strict=True):
            paths.append(str(tmp_path / f"{index}_{end}.nii.gz"))
            nib.save(nib.Nifti1Image(volume, np.eye(4)), paths[-1])
    lists[2][3] = "-"
    return lists


def vertebrae(files, chosen=None):
    return Vertebrae(files[0], files[1], chosen=chosen, parts=files[2])


def test_parts_are_drawn_from_those_of_both_sides():
    one, other = parts_map([41, 42, 49, 50]), parts_map([43, 42, 42, 50])
    seen = set()
    for seed in range(6):
        fixed, moving = drawn_masks([one, other], SHAPE, np.random.default_rng(seed))
        assert fixed.shape == moving.shape == (*SHAPE, DRAWN) and fixed.dtype == bool
        for channel in range(DRAWN):
            spinous = (fixed[..., channel] == (one == 42)).all()
            numbers = (42,) if spinous else (49, 50)  # the body's border and inside together
            np.testing.assert_array_equal(fixed[..., channel], np.isin(one, numbers))
            np.testing.assert_array_equal(moving[..., channel], np.isin(other, numbers))
            seen.add((channel, bool(spinous)))
    assert len(seen) == 4


@pytest.mark.parametrize("maps", [(None, [50]), ([50], None), (None, None), ([41], [50])])
def test_where_nothing_is_shared_both_sides_are_empty_which_is_a_match(maps):
    maps = [None if numbers is None else parts_map(numbers) for numbers in maps]
    fixed, moving = drawn_masks(maps, SHAPE, np.random.default_rng(0))
    assert not fixed.any() and not moving.any()
    assert np.array(SoftDice().call(fixed[None].astype("float32"), moving[None].astype("float32"))) == pytest.approx(0)


def test_lists_of_parts(files):
    data = vertebrae(files)
    assert data.has_parts and data.get_parts(3) is None
    np.testing.assert_array_equal(data.get_parts(0), parts_map([41, 42, 49, 50]))
    assert data.get_parts(0) is data.get_parts(0)  # read once
    none = Vertebrae(files[0], files[1])
    assert not none.has_parts and none.get_parts(0) is None and not data.without_labels().has_parts
    nothing = [*files[2][:2], files[1][0], "-"]  # a label map is no map of parts
    with pytest.raises(InputError, match="0_seg.nii.gz: holds no part"):
        vertebrae((files[0], files[1], nothing)).get_parts(2)
    for options, words in (
        ({"parts": files[2][:2]}, "4 images but 2 parts"),
        ({"parts": ["gone.nii.gz"] * 4}, "gone.nii.gz: no such file"),
    ):
        with pytest.raises(InputError, match=words):
            Vertebrae(files[0], files[1], **options)
    with pytest.raises(InputError, match="parts: go with labels"):
        Vertebrae(files[0], parts=files[2])


def test_batches_hold_masks_of_the_same_parts_of_both_sides(files):
    data = vertebrae(files, chosen=[(0, 1), (2, 3)])
    batches = PairBatches(data, 2, 1, seed=1, flip=True)
    volumes = batches.volumes(0)
    assert volumes["fixed_parts"].shape == (2, *SHAPE, DRAWN) and volumes["fixed_parts"].dtype == np.float32
    for place, pair in enumerate(batches.pairs[batches._order_of(0)]):
        held = volumes["fixed_parts"][place].any(axis=(0, 1, 2))
        assert held.all() == (3 not in pair) and held.any() == (3 not in pair)
        for side in ("fixed", "moving"):  # mirrored or not, parts lie inside of the label
            assert not volumes[f"{side}_parts"][place][volumes[f"{side}_seg"][place, ..., 0] == 0].any()
    for name, again in PairBatches(data, 2, 1, seed=1, flip=True).volumes(0).items():
        np.testing.assert_array_equal(volumes[name], again)
    inputs, targets = batches[0]
    assert "moving_parts" in inputs and targets["m_d_parts"] is not None
    inputs, _ = PairBatches(data, 2, 1, outputs=["m_d", "m_d_seg"])[0]
    assert "moving_parts" not in inputs
    empty = PairBatches(Vertebrae(*files[:2]), 1, 1, outputs=["m_d_parts"]).volumes(0)  # held-out data without parts
    assert not empty["fixed_parts"].any() and empty["fixed_parts"].shape == (1, *SHAPE, DRAWN)


def test_augmentation_changes_parts_as_it_changes_the_label():
    parts = parts_map([41, 42, 49, 50])
    label, image = parts > 0, (0.5 * (parts > 0)).astype("float32")
    augment = Augment(rotation=20.0)
    changed, moved, carried = augment.with_parts(image, label, parts, np.random.default_rng(3))
    plain, mask = augment(image, label, np.random.default_rng(3))
    np.testing.assert_array_equal(changed, plain)
    np.testing.assert_array_equal(moved, mask)
    assert carried.dtype == np.uint8 and not carried[~moved].any() and (carried[moved] > 0).mean() > 0.9
    middles = [np.argwhere(carried == number).mean(axis=0)[0] for number in (41, 42, 49, 50)]
    assert np.all(np.diff(middles) > 1)


def test_there_is_a_term_where_parts_are_there_and_weigh_something(files):
    data, recipe = vertebrae(files), Recipe()
    assert channels(data, recipe) == DRAWN
    assert channels(Vertebrae(*files[:2]), recipe) == channels(data, replace(recipe, parts_weight=0.0)) == 0
    assert channels(data, replace(recipe, lambdas=(0.3, 0.7, 0.1, 0.1, 0.0))) == 0
    assert channels(data.without_labels(), recipe) == 0
    losses, weights = losses_of(replace(recipe, parts_weight=2.5, label_loss="distance"), ["m_d_seg", "m_d_parts"])
    assert weights["m_d_parts"] == pytest.approx(2.5 * weights["m_d_seg"])
    assert isinstance(losses["m_d_parts"], SoftDice)  # Eq. 8, whatever the whole label is compared by
    with pytest.raises(InputError, match="parts_weight"):
        Recipe(parts_weight=-1.0)


@pytest.mark.trains
@pytest.mark.parametrize("warp_once", [True, False])
def test_moving_parts_are_warped_as_the_label_is(files, warp_once):
    net = network()
    model = training_model(net, labels=True, warp_once=warp_once, parts=DRAWN)
    inputs, _ = PairBatches(vertebrae(files), 1, 1)[0]
    inputs["moving_parts"] = np.repeat(inputs["moving_seg"], DRAWN, axis=-1)
    outputs = {name: keras.ops.convert_to_numpy(output) for name, output in model(inputs).items()}
    for channel in range(DRAWN):
        np.testing.assert_allclose(outputs["m_d_parts"][..., channel], outputs["m_d_seg"][..., 0], atol=1e-5)
    affine = training_model(net, labels=True, stage="affine", parts=DRAWN)
    assert "moving_parts" not in affine.input and "m_d_parts" not in affine.output_names


@pytest.mark.trains
def test_training_lays_parts_on_parts(files):
    """Two bones of one silhouette and one intensity, whose parts' border lies elsewhere: only the parts can tell."""
    data = vertebrae(files, chosen=[(0, 2)])
    assert (data.get(0)[1] == data.get(2)[1]).all()
    recipe = replace(
        FINE_TUNING, epochs=3, lr=5e-3, window=5, schedule="constant", lambdas=(0, 0.1, 0.001, 0, 1), flip=False
    )
    history = fine_tune(network(), data, 10, recipe=recipe, validation=data, verbose=0).history
    assert history["m_d_parts_loss"][-1] < history["m_d_parts_loss"][0] - 0.01
    assert "val_m_d_parts_loss" in history
    without = fine_tune(network(), data, 1, recipe=replace(recipe, epochs=1, parts_weight=0.0), verbose=0).history
    assert "m_d_parts_loss" not in without
