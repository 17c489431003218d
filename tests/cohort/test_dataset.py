"""Ordered pairs and their batches."""

import nibabel as nib
import numpy as np
import pytest

from acsgreg_tf.cohort.dataset import Vertebrae, read_list
from acsgreg_tf.cohort.manifest import Sample
from acsgreg_tf.cohort.pairs import mixed_pairs
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.distance import from_crop
from acsgreg_tf.training.batches import PairBatches, batch_of

SHAPE = (8, 6, 4)


@pytest.fixture
def files(tmp_path):
    """Six crops whose single value tells which they are, three of one level and three of another, and their lists."""
    images, labels = [], []
    for i in range(6):
        volume = np.zeros(SHAPE, "float32")
        volume[2:6, 2:5, 1:3] = (i + 1) / 8
        volume[2, 2, 1] = 1.0  # breaks the left-right symmetry
        for names, data in ((images, volume), (labels, (volume > 0).astype("uint8"))):
            names.append(str(tmp_path / f"{i}_{len(names)}_{data.dtype}.nii.gz"))
            nib.save(nib.Nifti1Image(data, np.eye(4)), names[-1])
    (tmp_path / "images.txt").write_text("\n".join(name.rsplit("/", 1)[1] for name in images) + "\n\n")
    return images, labels, ["L1"] * 3 + ["L2"] * 3


def which(volume):
    """The number of the crop that a [X, Y, Z, 1] volume shows."""
    return round(float(volume[3, 3, 1, 0]) * 8) - 1


def test_list_is_relative_to_its_folder(files, tmp_path):
    assert read_list(tmp_path / "images.txt") == files[0]


def test_list_prefix_and_suffix(tmp_path):
    (tmp_path / "l.txt").write_text("a\n")
    assert read_list(tmp_path / "l.txt", "sub/", ".nii") == [str(tmp_path / "sub/a.nii")]


def test_pairs_are_all_ordered_pairs_within_a_group(files):
    images, labels, groups = files
    assert len(Vertebrae(images).pairs()) == 6 * 5
    pairs = Vertebrae(images, labels, groups).pairs()
    assert len(pairs) == 2 * 3 * 2
    assert len({tuple(pair) for pair in pairs}) == len(pairs)
    assert all(groups[f] == groups[m] and f != m for f, m in pairs)


def test_samples_of_a_cohort_with_chosen_pairs(files):
    images, labels, groups = files
    samples = [Sample(f"p{i % 3}", *entry) for i, entry in enumerate(zip(groups, images, labels))]
    vertebrae = Vertebrae.from_samples(samples)
    assert {tuple(pair) for pair in vertebrae.pairs()} == {tuple(pair) for pair in Vertebrae(*files).pairs()}
    few = mixed_pairs(samples, 1, seed=2)
    vertebrae = Vertebrae.from_samples(samples, few)
    assert [(samples[f], samples[m]) for f, m in vertebrae.pairs()] == few
    with pytest.raises(InputError, match="no pairs: 1 vertebrae, and a pair needs two people"):
        Vertebrae.from_samples(samples[:1]).pairs()
    with pytest.raises(InputError, match="no samples"):
        Vertebrae.from_samples([])


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


def test_tf_dataset_gives_the_same_batches(files):
    batches = PairBatches(Vertebrae(*files), 2, 4)
    found = list(batches.as_tf_dataset())
    assert len(found) == 4
    for i, (inputs, targets) in enumerate(found):
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
    for i, (inputs, _) in enumerate(batches().as_tf_dataset(readers=3)):
        for name, volume in inputs.items():
            np.testing.assert_array_equal(volume, batches().volumes(i)[name])


def test_labels_as_distances(files):
    vertebrae = Vertebrae(*files)
    plain, found = (PairBatches(vertebrae, 4, distances=given).volumes(0) for given in (False, True))
    np.testing.assert_array_equal(found["fixed"], plain["fixed"])
    for name in ("fixed_seg", "moving_seg"):
        assert found[name].shape == plain[name].shape and found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name] < 0, plain[name] > 0)
        assert -3 < found[name].min() < -0.3 and 2 < found[name].max() <= PairBatches.REACH
        expected = np.clip(from_crop(plain[name][0, ..., 0] > 0), -PairBatches.REACH, PairBatches.REACH)
        np.testing.assert_allclose(found[name][0, ..., 0], expected, atol=5e-3)  # kept in half precision
    targets = PairBatches(vertebrae, 4, distances=True)[0][1]
    np.testing.assert_array_equal(targets["m_d_seg"], found["fixed_seg"])
    assert set(PairBatches(Vertebrae(files[0]), 2, distances=True).volumes(0)) == {"fixed", "moving"}


def test_distances_are_mirrored_and_follow_the_augmentation(files):
    vertebrae = Vertebrae(*files)
    options = {"batch_size": 12, "steps": 1, "seed": 1, "flip": True}
    mirrored = PairBatches(vertebrae, **options, distances=True).volumes(0)
    masks = PairBatches(vertebrae, **options).volumes(0)
    np.testing.assert_array_equal(mirrored["moving_seg"] < 0, masks["moving_seg"] > 0)
    options = {"batch_size": 2, "steps": 2, "seed": 1, "augment": True}
    for step in (0, 1):  # a vertebra is another every time
        found = PairBatches(vertebrae, **options, distances=True).volumes(step)
        masks = PairBatches(vertebrae, **options).volumes(step)
        # Rounding the mask's corners may take a voxel off.
        assert np.mean((found["fixed_seg"] < 0) != (masks["fixed_seg"] > 0)) < 0.05


def test_a_mask_without_a_surface_has_no_distances(files, tmp_path):
    images, labels, _ = files
    path = str(tmp_path / "nothing.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, "uint8"), np.eye(4)), path)
    with pytest.raises(InputError, match="vertebra [01] of the list: its mask is empty or fills the box"):
        PairBatches(Vertebrae(images[:2], [labels[0], path]), 2, distances=True).volumes(0)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda i, s, g: (i[:1], s[:1], g[:1]), "two in one group"),
        (lambda i, s, g: (i, s[:5], g), "6 images but 5 labels"),
        (lambda i, s, g: (i, s, g[:2]), "6 images but 2 groups"),
        (lambda i, s, g: ([*i[:5], "gone.nii.gz"], s, g), "gone.nii.gz: no such file"),
    ],
)
def test_lists_that_cannot_work_are_refused(files, change, words):
    with pytest.raises(InputError, match=words):
        Vertebrae(*change(*files)).pairs()


def test_another_shape_or_unscaled_intensities_are_refused(files, tmp_path):
    path = str(tmp_path / "odd.nii.gz")
    nib.save(nib.Nifti1Image(np.ones((5, 6, 4), "float32"), np.eye(4)), path)
    with pytest.raises(InputError, match=r"odd.nii.gz: shape \(5, 6, 4\)"):
        Vertebrae([files[0][0], path]).get(1)
    nib.save(nib.Nifti1Image(np.full(SHAPE, 900, "float32"), np.eye(4)), path)
    with pytest.raises(InputError, match="odd.nii.gz: intensities"):
        Vertebrae([files[0][0], path]).get(1)
    with pytest.raises(InputError, match="empty list"):
        (tmp_path / "empty.txt").write_text("\n")
        read_list(tmp_path / "empty.txt")
