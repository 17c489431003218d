"""Ordered pairs of vertebrae and the batches that training reads, reproducible from a seed and a step number."""

import threading
from pathlib import Path

import numpy as np

from acsgreg_tf.cohort.generated import ordered_indices
from acsgreg_tf.cohort.pairs import ordered_pairs
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.images import read_image, read_label


def read_list(path, prefix="", suffix=""):
    """Paths named in a text file, one a line (voxelmorph's --img-list); relative ones start at the list's own folder.

    Raises:
        InputError: the list cannot be read or is empty.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of files ({error.__class__.__name__})") from error
    names = [f"{prefix or ''}{line.strip()}{suffix or ''}" for line in lines if line.strip()]
    if not names:
        raise InputError(f"{path}: an empty list")
    return [str(path.parent / name) for name in names]


class Vertebrae:
    """Cropped vertebrae on one common grid shape, read from files once and kept in memory.

    Args:
        images: paths of intensity crops in [0, 1], background 0.
        labels: paths of their masks in the same order, or None.
        groups: a word for each (its level, say): pairs are drawn within a word only. None pairs all with all.
        inshape: the shape that every file must have; None takes the first file's.
        chosen: (fixed, moving) index pairs to use instead of all ordered ones (`cohort.mixed_pairs`, say).

    Raises:
        InputError: lists of different lengths, fewer than two vertebrae to pair; on reading, whatever `read_image` refuses,
            another shape, or intensities outside [0, 1].
    """

    def __init__(self, images, labels=None, groups=None, inshape=None, chosen=None):
        for name, others in (("labels", labels), ("groups", groups)):
            if others is not None and len(others) != len(images):
                raise InputError(f"{len(images)} images but {len(others)} {name}: the lists must go together")
        for path in [*images, *(labels or [])]:
            if not Path(path).is_file():
                raise InputError(f"{path}: no such file")
        self.images, self.labels = list(images), list(labels) if labels is not None else None
        self.groups = list(groups) if groups is not None else ["all"] * len(images)
        self.inshape = tuple(inshape) if inshape is not None else read_image(images[0]).data.shape
        self.chosen = None if chosen is None else np.array(chosen, int).reshape(-1, 2)
        self._kept, self._lock = {}, threading.Lock()

    @classmethod
    def from_samples(cls, samples, pairs=None, inshape=None):
        """The Vertebrae of `cohort.Sample`s, grouped by level.

        Args:
            samples: Samples that show a vertebra.
            pairs: (fixed, moving) Samples among them; None pairs all different people of a level.
            inshape: as above.
        """
        samples = list(samples)
        if not samples:
            raise InputError("no samples: the cohort holds no vertebra to use")
        places = {sample.image: index for index, sample in enumerate(samples)}
        pairs = ordered_pairs(samples) if pairs is None else pairs
        chosen = [(places[fixed.image], places[moving.image]) for fixed, moving in pairs]
        images, labels, levels = zip(*((s.image, s.label, s.level) for s in samples), strict=True)
        return cls(list(images), list(labels), list(levels), inshape, chosen)

    def __len__(self):
        return len(self.images)

    def pairs(self):
        """The pairs (fixed, moving), all ordered ones of different vertebrae within a group unless chosen: int [P, 2]."""
        if self.chosen is not None:
            if not len(self.chosen):
                raise InputError(f"no pairs: {len(self)} vertebrae, and a pair needs two people at one level")
            return self.chosen
        found = ordered_indices(self.groups)
        if not len(found):
            groups = len(set(self.groups))
            raise InputError(f"no pairs: {len(self)} vertebrae in {groups} groups, and a pair needs two in one group")
        return found

    def expect(self, indices):
        """Said before reading, in this order: nothing to prepare, files are read when they are needed."""

    def close(self):
        """Said after reading: nothing to stop."""

    def _checked(self, path, volume):
        if volume.data.shape != self.inshape:
            raise InputError(f"{path}: shape {volume.data.shape}, but the network and the others have {self.inshape}")
        return volume.data

    def get(self, index):
        """(image, label or None) as float16 / bool [X, Y, Z]."""
        with self._lock:
            kept = self._kept.get(index)
        if kept is None:
            path = self.images[index]
            image = self._checked(path, read_image(path))
            if image.min() < 0 or image.max() > 1:
                raise InputError(
                    f"{path}: intensities from {image.min():g} to {image.max():g}, but crops for training are in [0, 1]"
                )
            label = None
            if self.labels is not None:
                label = self._checked(self.labels[index], read_label(self.labels[index])) > 0
            kept = image.astype("float16"), label
            with self._lock:
                self._kept[index] = kept
        return kept
