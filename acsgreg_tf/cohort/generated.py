"""Generated vertebrae to train on: worker processes make them ahead of their use, and each is made once."""

import os
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from functools import partial
from typing import Any

import numpy as np

from acsgreg_tf.cohort.dataset import VertebraDataset
from acsgreg_tf.cohort.pairs import ordered_indices
from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry.boxes import bounding_box
from acsgreg_tf.parallel import WorkerPool
from acsgreg_tf.synthesis.generator import VertebraGenerator

__all__ = ["GeneratedVertebrae"]

_Packed = tuple[tuple[int, ...], tuple[slice, ...], np.ndarray]


class GeneratedVertebrae(VertebraDataset):
    """The first `count` vertebrae of a generator.

    Each is made once, in the order of `prepare_order`, and stays in memory packed (about 0.4 MB at 128x128x64, with
    8 bits of intensity as in the files of generate.py). The workers slow the training on a small machine until all
    are made. They are spawned, so a script that trains needs the usual `if __name__ == "__main__":`.

    Args:
        generator: Makes the vertebrae.
        count: How many; the generator's levels take turns.
        processes: How many make vertebrae beside the training; 0 makes each where and when it is asked for.

    Raises:
        InputError: A count that leaves no pair, bad shape files; on reading, a worker that died.
    """

    has_labels = True

    def __init__(self, generator: VertebraGenerator, count: int, processes: int = 1) -> None:
        if count < 2:
            raise InputError(f"{count} generated vertebrae: a pair needs two")
        if processes < 0:
            raise InputError(f"{processes} worker processes: must not be negative")
        generator.load()
        self.generator, self.count, self.processes = generator, count, processes
        self.inshape = generator.shape
        self.groups = [generator.describe(index).level for index in range(count)]
        self._packed: dict[int, _Packed] = {}
        self._pending: dict[int, Future] = {}
        self._queue: deque[int] = deque()
        self._pool: WorkerPool | None = None
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return self.count

    def pairs(self) -> np.ndarray:
        """All ordered pairs (fixed, moving) of different vertebrae at a level: int [P, 2]."""
        return ordered_indices(self.groups)

    def prepare_order(self, indices: Iterable[int]) -> None:
        """Make these vertebrae ahead, in this order, and then all others."""
        if not self.processes:
            return
        with self._lock:
            wanted = dict.fromkeys([*map(int, indices), *range(self.count)])
            self._queue = deque(i for i in wanted if i not in self._packed and i not in self._pending)
        self._fill()

    def get(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Vertebra `index`, as `VertebraDataset.get`; waits until it is made."""
        index = int(index)
        with self._lock:
            if index not in self._packed and not self.processes:
                self._packed[index] = _make(index, self.generator)
            if index in self._packed:
                return _unpack(self._packed[index])
            future = self._pending.get(index) or self._submit(index)
            pool = self._pool
        assert pool is not None
        return _unpack(pool.result(future))

    def close(self) -> None:
        """Stop making vertebrae; those that are made can still be read."""
        with self._lock:
            self._queue.clear()
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _submit(self, index: int) -> Future:
        """Start making a vertebra, before all that are in the queue."""
        if self._pool is None:
            self._pool = WorkerPool(_make, self.processes, _be_nice, (self.generator,))
        if index in self._queue:
            self._queue.remove(index)
        future = self._pending[index] = self._pool.submit(index)
        future.add_done_callback(partial(self._done, index))
        return future

    def _done(self, index: int, future: Future) -> None:
        with self._lock:
            self._pending.pop(index, None)
            if future.cancelled() or future.exception() is not None:
                return
            self._packed[index] = future.result()
        self._fill()

    def _fill(self) -> None:
        """Keep the workers busy; few are submitted at a time, so that one asked for at once need not wait."""
        with self._lock:
            try:
                while self._queue and len(self._pending) <= self.processes:
                    self._submit(self._queue[0])
            except (InputError, RuntimeError):  # a dead worker, which `get` reports, or the interpreter's end
                self._queue.clear()


def _be_nice() -> None:
    """Worker initialiser: training goes first; a much lower priority would make it wait on two busy cores."""
    if hasattr(os, "nice"):
        os.nice(2)


def _make(index: int, generator: VertebraGenerator) -> _Packed:
    return _pack(*generator.make(index))


def _pack(image: np.ndarray, label: np.ndarray) -> _Packed:
    """(shape, box, values): the bounding box in 8 bits, 0 outside the mask, 1 to 255 for intensities 0 to 1 in it."""
    inside = label > 0
    box = bounding_box(inside)
    values = np.where(inside[box], np.rint(image[box] * 254) + 1, 0).astype(np.uint8)
    return image.shape, box, values


def _unpack(packed: Any) -> tuple[np.ndarray, np.ndarray]:
    shape, box, values = packed
    image, label = np.zeros(shape, np.float16), np.zeros(shape, bool)
    label[box] = values > 0
    image[box] = np.maximum(values, 1) * np.float32(1 / 254) - np.float32(1 / 254)
    return image, label
