"""Ordered pairs of vertebrae and the batches that training reads, reproducible from a seed and a step number."""

import os
import threading
from pathlib import Path

import keras
import numpy as np

from acsgreg_tf.data.augment import Augment
from acsgreg_tf.data.cohort import ordered_pairs
from acsgreg_tf.data.generated import ordered_indices
from acsgreg_tf.data.images import read_image, read_label
from acsgreg_tf.data.shapes import from_crop
from acsgreg_tf.errors import InputError


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


def batch_of(volumes, outputs=None):
    """(inputs, targets) of a training model from {"fixed", "moving"[, "fixed_seg", "moving_seg"]}, arrays or tensors.

    Targets are named after the outputs that they are compared with (`outputs`; all of them if None); phi's regulariser
    needs nothing.
    """
    fixed = volumes["fixed"]
    inputs = {name: volumes[name] for name in ("fixed", "moving", "moving_seg") if name in volumes}
    targets = {"m_a": fixed, "m_d": fixed, "phi": fixed[:, :1, :1, :1]}
    if "fixed_seg" in volumes:
        targets |= {"m_a_seg": volumes["fixed_seg"], "m_d_seg": volumes["fixed_seg"]}
    if outputs is not None:
        targets = {name: targets[name] for name in outputs}
    return inputs, targets


class PairBatches(keras.utils.PyDataset):
    """Batches of ordered pairs by step number: the same for the same seed, wherever training starts.

    An epoch is a seeded shuffle of all ordered pairs, cut to `steps` batches (or several shuffles, if there are fewer).
    `batches[i]` is batch i from `first` on, as `batch_of` gives it: float32 [B, X, Y, Z, 1].

    Args:
        vertebrae: Vertebrae, or anything with their face (`generated.GeneratedVertebrae`).
        batch_size: pairs a step.
        steps: steps an epoch; None takes every pair once.
        seed: of the order.
        first, last: global steps that bound the batches (a resumed run begins in the middle); None for the last is one epoch.
        flip: mirror both images of a pair left-right, at random.
        outputs: names of the outputs to give targets for; None gives all.
        augment: an `augment.Augment` that changes every vertebra each time it is used, or True for the usual one.
        distances: give labels as signed distances to their surfaces in mm (float, negative inside, cut at REACH) rather than
            as masks, for `losses.SurfaceDistance`.
    """

    REACH = 6.0

    def __init__(
        self, vertebrae, batch_size, steps=None, seed=0, first=0, last=None, flip=False, outputs=None, augment=None,
        distances=False,
    ):  # fmt: skip
        super().__init__(workers=_readers(), use_multiprocessing=False, max_queue_size=4)
        self.vertebrae = vertebrae
        self.batch_size = batch_size
        self.pairs = vertebrae.pairs()
        self.steps = steps or max(len(self.pairs) // batch_size, 1)
        self.seed = seed
        self.first = first
        self.last = first + self.steps if last is None else last
        self.augment = Augment() if augment is True else augment or None
        self.flip = flip or bool(self.augment and self.augment.flip)
        self.outputs = outputs
        self.distances = distances
        self._distances = {}
        self._order, self._told, self._lock = (None, None), False, threading.Lock()

    def __len__(self):
        return self.last - self.first

    def __getitem__(self, index):
        return batch_of(self.volumes(index), self.outputs)

    def _order_of(self, epoch):
        of, order = self._order
        if of != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            needed = self.steps * self.batch_size
            rounds = [rng.permutation(len(self.pairs)) for _ in range(-(-needed // len(self.pairs)))]
            order = np.concatenate(rounds)[:needed]
            self._order = (epoch, order)
        return order

    def _tell(self):
        """Tell the vertebrae once in which order they will be needed, as far as that brings new ones."""
        with self._lock:
            told, self._told = self._told, True
        if told:
            return
        wanted = {}
        for epoch in range(self.first // self.steps, -(-self.last // self.steps)):
            start = max(self.first - epoch * self.steps, 0) * self.batch_size
            wanted |= dict.fromkeys(self.pairs[self._order_of(epoch)[start:]].ravel().tolist())
            if len(wanted) == len(self.vertebrae):
                break
        self.vertebrae.expect(wanted)

    def _distance(self, which, label):
        """The label as a signed distance; kept for each vertebra, unless it is another every time."""
        distance = self._distances.get(which)
        if distance is None:
            distance = from_crop(label > 0)
            if distance is None:
                raise InputError(f"vertebra {which} of the list: its mask is empty or fills the box, so it has no surface")
            distance = np.clip(distance, -self.REACH, self.REACH).astype("float16")
            if self.augment is None:
                self._distances[which] = distance
        return distance

    def volumes(self, index):
        """{"fixed", "moving"[, "fixed_seg", "moving_seg"]} of batch `index`."""
        self._tell()
        step = self.first + index
        epoch, within = divmod(step, self.steps)
        order = self._order_of(epoch)[within * self.batch_size : (within + 1) * self.batch_size]
        mirrored = np.random.default_rng([self.seed, step, 1]).random(self.batch_size) < 0.5
        found = {}
        for place, ((fixed, moving), mirror) in enumerate(zip(self.pairs[order], mirrored, strict=True)):
            for name, which in (("fixed", fixed), ("moving", moving)):
                image, label = self.vertebrae.get(which)
                if self.augment is not None:
                    rng = np.random.default_rng([self.seed, step, 2, place, name == "moving"])
                    image, label = self.augment(image, label, rng)
                if self.distances and label is not None:
                    label = self._distance(which, label)
                for key, volume in ((name, image), (f"{name}_seg", label)):
                    if volume is not None:
                        found.setdefault(key, []).append(volume[::-1] if self.flip and mirror else volume)
        return {key: np.stack(stack)[..., None].astype("float32") for key, stack in found.items()}

    def as_tf_dataset(self, prefetch=3, readers=None):
        """The same batches in the same order as a tf.data.Dataset whose `readers` threads read ahead of the training step."""
        import tensorflow as tf

        example = {key: volume.shape for key, volume in self.volumes(0).items()}

        def read(index):
            found = tf.numpy_function(
                lambda i: list(self.volumes(int(i)).values()), [index], [tf.float32] * len(example)
            )
            for tensor, shape in zip(found, example.values(), strict=True):
                tensor.set_shape(shape)
            return batch_of(dict(zip(example, found, strict=True)), self.outputs)

        return tf.data.Dataset.range(len(self)).map(
            read, num_parallel_calls=readers or _readers(), deterministic=True
        ).prefetch(prefetch)


def _readers():
    """Threads that make batches: most of their work runs outside of Python's lock, beside the training step."""
    return max(1, min(4, (os.cpu_count() or 1) - 1))
