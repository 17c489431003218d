"""Batches of pairs: the same for the same seed and step, with the targets that their outputs need."""

import nibabel as nib
import numpy as np
import pytest

from acsgreg_tf.cohort.dataset import Vertebrae
from acsgreg_tf.cohort.generated import GeneratedVertebrae
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.distance import from_crop
from acsgreg_tf.training.batches import PairBatches, batch_of
from tests.cohort.cases import CROP_SHAPE as SHAPE
from tests.cohort.cases import generator, write_crops


@pytest.fixture
def files(tmp_path):
    return write_crops(tmp_path)


def which(volume):
    """The number of the crop that a [X, Y, Z, 1] volume shows."""
    return round(float(volume[3, 3, 1, 0]) * 8) - 1


def test_batch_holds_what_its_targets_say(files):
    images, labels, groups = files
    inputs, targets = PairBatches(Vertebrae(images, labels, groups), 4)[0]
    assert set(inputs) == {"fixed", "moving", "moving_seg"}
    assert set(targets) == {"m_a", "m_d", "phi", "m_a_seg", "m_d_seg"}
    assert inputs["fixed"].shape == (4, *SHAPE, 1) and inputs["fixed"].dtype == np.float32
    np.testing.assert_array_equal(targets["m_d"], inputs["fixed"])
    np.testing.assert_array_equal(targets["m_d_seg"], inputs["fixed"] > 0)
    np.testing.assert_array_equal(inputs["moving_seg"], inputs["moving"] > 0)


def test_without_labels_there_are_no_dice_targets(files):
    inputs, targets = PairBatches(Vertebrae(files[0]), 2)[0]
    assert set(inputs) == {"fixed", "moving"} and set(targets) == {"m_a", "m_d", "phi"}
    assert set(batch_of(inputs, ["m_a"])[1]) == {"m_a"}


def test_an_epoch_takes_every_pair_once(files):
    batches = PairBatches(Vertebrae(*files), 3)
    assert len(batches) == 4
    seen = [(which(f), which(m)) for i in range(4) for f, m in zip(batches[i][0]["fixed"], batches[i][0]["moving"])]
    assert len(set(seen)) == 12


def test_order_depends_on_seed_and_epoch_only(files):
    vertebrae = Vertebrae(*files)

    def order(**options):
        batches = PairBatches(vertebrae, 2, 5, **options)
        return [which(batches[i][0]["fixed"][0]) for i in range(len(batches))]

    whole = order(seed=3, last=10)
    assert order(seed=3, last=10) == whole
    assert order(seed=3, first=7, last=10) == whole[7:], "a run that starts in the middle sees the same pairs"
    assert order(seed=4, last=10) != whole
    assert whole[:5] != whole[5:], "the next epoch has another order"


def test_flip_mirrors_both_images_of_a_pair(files):
    vertebrae = Vertebrae(*files)
    plain = PairBatches(vertebrae, 12, 1, seed=1).volumes(0)
    flipped = PairBatches(vertebrae, 12, 1, seed=1, flip=True).volumes(0)
    mirrored = []
    for i in range(12):
        same = [np.array_equal(plain[name][i], flipped[name][i]) for name in plain]
        turned = [np.array_equal(plain[name][i], flipped[name][i][::-1]) for name in plain]
        assert all(turned) or all(same)
        mirrored.append(all(turned) and not all(same))
    assert 0 < sum(mirrored) < 12


@pytest.mark.tensorflow
def test_tf_dataset_gives_the_same_batches(files):
    batches = PairBatches(Vertebrae(*files), 2, 4)
    result = list(batches.as_tf_dataset())
    assert len(result) == 4
    for i, (inputs, targets) in enumerate(result):
        for name, volume in batches[i][0].items():
            np.testing.assert_array_equal(inputs[name], volume)
        for name, volume in batches[i][1].items():
            np.testing.assert_array_equal(targets[name], volume)


def test_augmented_batches_follow_from_the_seed_and_the_step(files):
    vertebrae = Vertebrae(*files)

    def batches(**options):
        return PairBatches(vertebrae, 2, 3, seed=1, augment=True, **options)

    plain, changed = PairBatches(vertebrae, 2, 3, seed=1).volumes(1), batches().volumes(1)
    assert all(not np.array_equal(plain[name], changed[name]) for name in ("fixed", "moving"))
    for name in ("fixed", "moving"):
        assert changed[name].max() <= 1 and not changed[name][changed[f"{name}_seg"] == 0].any()
        assert changed[f"{name}_seg"].any(axis=(1, 2, 3, 4)).all()
    later = batches(first=1, last=3).volumes(0)
    for name, volume in changed.items():
        np.testing.assert_array_equal(later[name], volume)
    assert any(not np.array_equal(v, batches(first=4, last=9).volumes(0)[k]) for k, v in changed.items())


@pytest.mark.tensorflow
def test_augmented_batches_read_by_several_threads_are_the_same(files):
    batches = PairBatches(Vertebrae(*files), 2, 3, seed=1, augment=True)
    for i, (inputs, _) in enumerate(batches.as_tf_dataset(readers=3)):
        for name, volume in inputs.items():
            np.testing.assert_array_equal(volume, batches.volumes(i)[name])


def test_labels_as_distances(files):
    vertebrae = Vertebrae(*files)
    plain, result = (PairBatches(vertebrae, 4, distances=given).volumes(0) for given in (False, True))
    np.testing.assert_array_equal(result["fixed"], plain["fixed"])
    for name in ("fixed_seg", "moving_seg"):
        assert result[name].shape == plain[name].shape and result[name].dtype == np.float32
        np.testing.assert_array_equal(result[name] < 0, plain[name] > 0)
        assert -3 < result[name].min() < -0.3 and 2 < result[name].max() <= PairBatches.REACH
        expected = np.clip(from_crop(plain[name][0, ..., 0] > 0), -PairBatches.REACH, PairBatches.REACH)
        np.testing.assert_allclose(result[name][0, ..., 0], expected, atol=5e-3)  # stored in half precision
    targets = PairBatches(vertebrae, 4, distances=True)[0][1]
    np.testing.assert_array_equal(targets["m_d_seg"], result["fixed_seg"])
    assert set(PairBatches(Vertebrae(files[0]), 2, distances=True).volumes(0)) == {"fixed", "moving"}


def test_distances_are_mirrored_and_follow_the_augmentation(files):
    vertebrae = Vertebrae(*files)
    options = {"batch_size": 12, "steps": 1, "seed": 1, "flip": True}
    mirrored = PairBatches(vertebrae, **options, distances=True).volumes(0)
    masks = PairBatches(vertebrae, **options).volumes(0)
    np.testing.assert_array_equal(mirrored["moving_seg"] < 0, masks["moving_seg"] > 0)
    options = {"batch_size": 2, "steps": 2, "seed": 1, "augment": True}
    for step in (0, 1):  # a vertebra is another every time
        result = PairBatches(vertebrae, **options, distances=True).volumes(step)
        masks = PairBatches(vertebrae, **options).volumes(step)
        # Rounding the mask's corners may take a voxel off.
        assert np.mean((result["fixed_seg"] < 0) != (masks["fixed_seg"] > 0)) < 0.05


def test_a_mask_without_a_surface_has_no_distances(files, tmp_path):
    images, labels, _ = files
    path = str(tmp_path / "mask.nii.gz")
    for value, fault in ((0, "mask.nii.gz: the mask is empty"), (1, "vertebra [01] of the list: its mask is empty or")):
        nib.save(nib.Nifti1Image(np.full(SHAPE, value, "uint8"), np.eye(4)), path)
        with pytest.raises(InputError, match=fault):
            PairBatches(Vertebrae(images[:2], [labels[0], path]), 2, distances=True).volumes(0)


class Announced(Vertebrae):
    """Records the orders that it is given."""

    def __init__(self, *lists):
        super().__init__(*lists)
        self.orders = []

    def prepare_order(self, indices):
        self.orders.append(list(indices))


def test_the_order_of_use_is_announced_once(files):
    vertebrae = Announced(*files)
    options = {"batch_size": 1, "steps": 3, "seed": 4, "first": 1, "last": 6}
    batches = PairBatches(vertebrae, **options)
    batches.volumes(2)
    batches.volumes(0)
    (order,) = vertebrae.orders
    used = [
        which(PairBatches(Vertebrae(*files), **options)[i][0][name][0])
        for i in range(5)
        for name in ("fixed", "moving")
    ]
    assert order == list(dict.fromkeys(used))


def test_batches_of_generated_pairs_are_the_same_with_and_without_workers():
    result = []
    for processes in (0, 2):
        vertebrae = GeneratedVertebrae(generator(), 10, processes)
        result.append([PairBatches(vertebrae, 2, 4, seed=2, augment=True).volumes(i) for i in range(2)])
        vertebrae.close()
    for one, other in zip(*result, strict=True):
        assert set(one) == {"fixed", "moving", "fixed_seg", "moving_seg"}
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
