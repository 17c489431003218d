"""Batches of ordered pairs that follow from a seed and the step's number, wherever training starts."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from acsgreg_tf.cohort.augment import Augment
from acsgreg_tf.cohort.dataset import VertebraDataset
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.distance import from_crop
from acsgreg_tf.ops import Tensor
from acsgreg_tf.ops.backend import is_tensorflow
from acsgreg_tf.parallel import cores
from acsgreg_tf.training.parts import OUTPUT as PARTS_OUTPUT
from acsgreg_tf.training.parts import drawn_masks

# Inputs and targets of a training model, by name.
Batch = tuple[dict[str, Tensor], dict[str, Tensor]]


def batch_of(volumes: Mapping[str, Tensor], outputs: Sequence[str] | None = None) -> Batch:
    """Inputs and targets of a training model.

    Args:
        volumes: {"fixed", "moving"[, "fixed_seg", "moving_seg"]}, each [B, X, Y, Z, 1], and {"fixed_parts",
            "moving_parts"}, [B, X, Y, Z, P], where parts are compared.
        outputs: Names of the outputs to return targets for; None returns all.

    Returns:
        (inputs, targets); a target has the name of the output that it is compared with. Phi's is a dummy.
    """
    fixed = volumes["fixed"]
    inputs = {name: volumes[name] for name in ("fixed", "moving", "moving_seg", "moving_parts") if name in volumes}
    targets = {"m_a": fixed, "m_d": fixed, "phi": fixed[:, :1, :1, :1]}
    if "fixed_seg" in volumes:
        targets |= {"m_a_seg": volumes["fixed_seg"], "m_d_seg": volumes["fixed_seg"]}
    if "fixed_parts" in volumes:
        targets[PARTS_OUTPUT] = volumes["fixed_parts"]
    if outputs is not None:
        targets = {name: targets[name] for name in outputs}
    return inputs, targets


def steps_per_epoch(vertebrae: VertebraDataset, batch_size: int, steps: int | None = None) -> int:
    """The steps of an epoch: `steps`, or as many whole batches as the ordered pairs make, at least one."""
    return steps or max(len(vertebrae.pairs()) // batch_size, 1)


class PairBatches(keras.utils.PyDataset):
    """Batches of ordered pairs by step number.

    An epoch is a seeded shuffle of all ordered pairs, cut to `steps` batches (or several shuffles, if there are fewer
    pairs). `batches[i]` is `batch_of` step `first` + i: float32 [B, X, Y, Z, 1].

    Args:
        vertebrae: What the pairs are of.
        batch_size: Pairs a step.
        steps: Steps an epoch; None takes every pair once.
        seed: Seed of the order, of mirroring and of augmentation.
        first: First step, counted from the start of training (a resumed run begins in the middle).
        last: One past the last step; None is one epoch.
        flip: Mirror both images of a pair left-right, at random.
        outputs: Names of the outputs to return targets for; None returns all. With m_d_parts there are masks of
            `training.parts.DRAWN` parts, drawn anew for each pair.
        augment: An Augment that changes every vertebra each time it is used; True is the default one.
        distances: Return labels as signed distances to their surfaces in voxels (negative inside, clipped to REACH)
            rather than masks, for `losses.SurfaceDistance`.
    """

    REACH = 6.0

    def __init__(
        self,
        vertebrae: VertebraDataset,
        batch_size: int,
        steps: int | None = None,
        *,
        seed: int = 0,
        first: int = 0,
        last: int | None = None,
        flip: bool = False,
        outputs: Sequence[str] | None = None,
        augment: Augment | bool | None = None,
        distances: bool = False,
    ) -> None:
        super().__init__(workers=_readers(), use_multiprocessing=False, max_queue_size=4)
        self.vertebrae = vertebrae
        self.batch_size = batch_size
        self.pairs = vertebrae.pairs()
        self.steps = steps_per_epoch(vertebrae, batch_size, steps)
        self.seed = seed
        self.first = first
        self.last = first + self.steps if last is None else last
        self.augment = Augment() if augment is True else augment or None
        self.flip = flip or bool(self.augment and self.augment.flip)
        self.outputs = outputs
        self.distances = distances
        self.parts = vertebrae.has_parts if outputs is None else PARTS_OUTPUT in outputs
        self._cached_distances: dict[int, np.ndarray] = {}
        self._order: tuple[int | None, np.ndarray] = (None, np.empty(0, int))
        self._order_announced, self._lock = False, threading.Lock()

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, index: int) -> Batch:
        return batch_of(self.volumes(index), self.outputs)

    def volumes(self, index: int) -> dict[str, np.ndarray]:
        """The images and labels of batch `index`: {"fixed", "moving"[, "fixed_seg", "moving_seg"]}, and masks of parts.

        The parts, {"fixed_parts", "moving_parts"}, are [B, X, Y, Z, P]; 0 where one of the two has no map of parts.
        """
        self._announce_order()
        step = self.first + index
        epoch, within = divmod(step, self.steps)
        order = self._order_of(epoch)[within * self.batch_size : (within + 1) * self.batch_size]
        mirrored = np.random.default_rng([self.seed, step, 1]).random(self.batch_size) < 0.5
        stacks: dict[str, list[np.ndarray]] = {}
        for place, (pair, mirror) in enumerate(zip(self.pairs[order], mirrored, strict=True)):
            maps: list[np.ndarray | None] = []
            for name, vertebra in zip(("fixed", "moving"), pair, strict=True):
                rng = np.random.default_rng([self.seed, step, 2, place, name == "moving"])
                image, label, parts = self._vertebra(int(vertebra), rng)
                maps.append(parts[::-1] if parts is not None and self.flip and mirror else parts)
                for key, volume in ((name, image), (f"{name}_seg", label)):
                    if volume is not None:
                        stacks.setdefault(key, []).append(volume[::-1] if self.flip and mirror else volume)
            if self.parts:
                rng = np.random.default_rng([self.seed, step, 3, place])
                for name, masks in zip(
                    ("fixed", "moving"), drawn_masks(maps, self.vertebrae.inshape, rng), strict=True
                ):
                    stacks.setdefault(f"{name}_parts", []).append(masks)
        volumes = {key: np.stack(stack) for key, stack in stacks.items()}
        return {
            key: (volume if key.endswith("_parts") else volume[..., None]).astype("float32")
            for key, volume in volumes.items()
        }

    def as_data(self) -> Any:
        """What `fit` reads: a tf.data.Dataset on TensorFlow, these batches themselves on other backends."""
        return self.as_tf_dataset() if is_tensorflow() else self

    def as_tf_dataset(self, prefetch: int = 3, readers: int | None = None) -> Any:
        """The same batches in the same order as a tf.data.Dataset.

        Args:
            prefetch: Batches made ahead of the training step.
            readers: Threads that make them; None takes one less than there are cores, up to 4.
        """
        import tensorflow as tf

        example = {key: volume.shape for key, volume in self.volumes(0).items()}

        def read(index: Tensor) -> Batch:
            tensors = tf.numpy_function(
                lambda i: list(self.volumes(int(i)).values()), [index], [tf.float32] * len(example)
            )
            for tensor, shape in zip(tensors, example.values(), strict=True):
                tensor.set_shape(shape)
            return batch_of(dict(zip(example, tensors, strict=True)), self.outputs)

        options = tf.data.Options()  # the processes of a strategy each make all batches, and take their part of each
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
        return (
            tf.data.Dataset.range(len(self))
            .map(read, num_parallel_calls=readers or _readers(), deterministic=True)
            .prefetch(prefetch)
            .with_options(options)
        )

    def _order_of(self, epoch: int) -> np.ndarray:
        """Indices of the pairs of an epoch, in order."""
        cached, order = self._order
        if cached != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            needed = self.steps * self.batch_size
            rounds = [rng.permutation(len(self.pairs)) for _ in range(-(-needed // len(self.pairs)))]
            order = np.concatenate(rounds)[:needed]
            self._order = (epoch, order)
        return order

    def _announce_order(self) -> None:
        """Tell the vertebrae once in which order they will be needed, until all of them are named."""
        with self._lock:
            announced, self._order_announced = self._order_announced, True
        if announced:
            return
        wanted: dict[int, None] = {}
        for epoch in range(self.first // self.steps, -(-self.last // self.steps)):
            start = max(self.first - epoch * self.steps, 0) * self.batch_size
            wanted |= dict.fromkeys(self.pairs[self._order_of(epoch)[start:]].ravel().tolist())
            if len(wanted) == len(self.vertebrae):
                break
        self.vertebrae.prepare_order(wanted)

    def _vertebra(
        self, index: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Image, label (mask or distance) and map of parts, where they are compared, of a vertebra, augmented."""
        image, label = self.vertebrae.get(index)
        parts = self.vertebrae.get_parts(index) if self.parts else None
        if self.augment is not None:
            image, label, parts = self.augment.with_parts(image, label, parts, rng)
        if self.distances and label is not None:
            label = self._distance(index, label)
        return image, label, parts

    def _distance(self, index: int, label: np.ndarray) -> np.ndarray:
        """The label as a signed distance, cached unless it is augmented."""
        distance = self._cached_distances.get(index)
        if distance is None:
            distance = from_crop(label > 0)
            if distance is None:
                raise InputError(f"vertebra {index} of the list: its mask is empty or fills the box: it has no surface")
            distance = np.clip(distance, -self.REACH, self.REACH).astype("float16")
            if self.augment is None:
                self._cached_distances[index] = distance
        return distance


def _readers() -> int:
    """Threads that make batches: most of their work is done without Python's lock, beside the training step."""
    return max(1, min(4, cores() - 1))
