"""Vertebrae read from lists of files: their pairs, and what is refused."""

import nibabel as nib
import numpy as np
import pytest

from acsgreg_tf.cohort.dataset import Vertebrae, read_list
from acsgreg_tf.cohort.manifest import Sample
from acsgreg_tf.cohort.pairs import mixed_pairs, ordered_indices
from acsgreg_tf.errors import InputError
from tests.cohort.cases import CROP_SHAPE as SHAPE
from tests.cohort.cases import write_crops


@pytest.fixture
def files(tmp_path):
    return write_crops(tmp_path)


def test_list_is_relative_to_its_folder(files, tmp_path):
    (tmp_path / "images.txt").write_text("\n".join(name.rsplit("/", 1)[1] for name in files[0]) + "\n\n")
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


def test_without_labels_the_images_stay(files):
    vertebrae = Vertebrae(*files)
    view = vertebrae.without_labels()
    assert vertebrae.has_labels and not view.has_labels and len(view) == 6 and view.inshape == SHAPE
    np.testing.assert_array_equal(view.pairs(), vertebrae.pairs())
    np.testing.assert_array_equal(view.get(2)[0], vertebrae.get(2)[0])
    assert view.get(2)[1] is None and vertebrae.get(2)[1].any()


def test_ordered_indices():
    assert ordered_indices(["a", "b", "a"]).tolist() == [[0, 2], [2, 0]]
    assert ordered_indices(["a", "b"]).shape == (0, 2)
