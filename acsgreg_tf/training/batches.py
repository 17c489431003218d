"""Batches of ordered pairs, the same for the same seed and step number."""

import os
import threading

import keras
import numpy as np

from acsgreg_tf.cohort.augment import Augment
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.distance import from_crop


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
        self,
        vertebrae,
        batch_size,
        steps=None,
        seed=0,
        first=0,
        last=None,
        flip=False,
        outputs=None,
        augment=None,
        distances=False,
    ):
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
        self.vertebrae.prepare_order(wanted)

    def _distance(self, which, label):
        """The label as a signed distance; kept for each vertebra, unless it is another every time."""
        distance = self._distances.get(which)
        if distance is None:
            distance = from_crop(label > 0)
            if distance is None:
                raise InputError(
                    f"vertebra {which} of the list: its mask is empty or fills the box, so it has no surface"
                )
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

        return (
            tf.data.Dataset.range(len(self))
            .map(read, num_parallel_calls=readers or _readers(), deterministic=True)
            .prefetch(prefetch)
        )


def _readers():
    """Threads that make batches: most of their work runs outside of Python's lock, beside the training step."""
    return max(1, min(4, (os.cpu_count() or 1) - 1))
