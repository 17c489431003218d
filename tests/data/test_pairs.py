"""Ordered pairs and their batches."""

import nibabel as nib
import numpy as np
import pytest

from acsgreg_tf.data.cohort import Sample, mixed_pairs
from acsgreg_tf.data.pairs import PairBatches, Vertebrae, batch_of, read_list
from acsgreg_tf.errors import InputError

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
