"""Generated vertebrae made while training goes: worker processes make them ahead of their use, memory keeps them."""

import multiprocessing
import os
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial

import numpy as np
from scipy import ndimage

from acsgreg_tf.cohort.pairs import ordered_indices
from acsgreg_tf.errors import InputError
from acsgreg_tf.parallel import follow_parent

__all__ = ["GeneratedVertebrae"]


class GeneratedVertebrae:
    """The first `count` vertebrae of a CohortGenerator, with the face of `pairs.Vertebrae`.

    Each is made once, in the order of use that `expect` is told, and kept packed (about 0.4 MB at 128x128x64, 8 bits of
    intensity as in the files of generate.py). The workers' work slows the training on a small machine until all are made, and
    not afterwards. Worker processes are spawned, so a script that trains needs the usual `if __name__ == "__main__":`.

    Args:
        generator: `cohort_generator.CohortGenerator`.
        count: vertebrae; the generator's levels take turns.
        processes: that make vertebrae beside the training; 0 makes each where and when it is asked for.

    Raises:
        InputError: a count that leaves no pair, bad shape files; on reading, a worker that died.
    """

    def __init__(self, generator, count, processes=1):
        if count < 2:
            raise InputError(f"{count} generated vertebrae: a pair needs two")
        if processes < 0:
            raise InputError(f"{processes} worker processes: must not be negative")
        generator.load()
        self.generator, self.count, self.processes = generator, count, processes
        self.inshape = generator.shape
        self.labels = True  # each has its mask
        records = [generator.describe(index) for index in range(count)]
        self.groups = [record["level"] for record in records]
        self._kept, self._making, self._queue = {}, {}, deque()
        self._lock, self._pool = threading.RLock(), None

    def __len__(self):
        return self.count

    def pairs(self):
        """All ordered pairs (fixed, moving) of different vertebrae at a level: int [P, 2]."""
        return ordered_indices(self.groups)

    def expect(self, indices):
        """Say which vertebrae are needed, in this order; they are made ahead, and then all others."""
        if not self.processes:
            return
        with self._lock:
            wanted = dict.fromkeys([*map(int, indices), *range(self.count)])
            self._queue = deque(i for i in wanted if i not in self._kept and i not in self._making)
        self._fill()

    def get(self, index):
        """(image, label) as float16 / bool [X, Y, Z]; waits for it where it is not made yet."""
        try:
            return _unpack(self._packed(int(index)))
        except BrokenProcessPool as error:
            raise InputError("a process that makes vertebrae died (out of memory?)") from error

    def _packed(self, index):
        with self._lock:
            if index in self._kept:
                return self._kept[index]
            if not self.processes:
                self._kept[index] = _pack(*self.generator.make(index))
                return self._kept[index]
            making = self._making.get(index) or self._submit(index)
        return making.result()

    def close(self):
        """Stop making vertebrae; those that are made can still be read."""
        with self._lock:
            self._queue.clear()
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(cancel_futures=True)

    def _submit(self, index):
        """Start making a vertebra, before all that are in the queue."""
        if self._pool is None:
            # Spawned: TensorFlow's threads do not survive a fork.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.processes, context, _start, (self.generator,))
        if index in self._queue:
            self._queue.remove(index)
        future = self._making[index] = self._pool.submit(_make, index)
        future.add_done_callback(partial(self._done, index))
        return future

    def _done(self, index, future):
        with self._lock:
            self._making.pop(index, None)
            if future.cancelled() or future.exception() is not None:
                return
            self._kept[index] = future.result()
        self._fill()

    def _fill(self):
        """Keep the workers busy; few are submitted at a time, so that one asked for at once need not wait."""
        with self._lock:
            try:
                while self._queue and len(self._making) <= self.processes:
                    self._submit(self._queue[0])
            except RuntimeError:  # the interpreter is shutting down
                self._queue.clear()


def _start(generator):
    global _generator
    _generator = generator
    follow_parent()
    if hasattr(os, "nice"):
        os.nice(2)  # much lower, and on two busy cores training would wait for them


def _make(index):
    return _pack(*_generator.make(index))


def _pack(image, label):
    """(shape, box, values): the bounding box in 8 bits, 0 outside of the mask and 1 to 255 for intensities 0 to 1 in it."""
    inside = label > 0
    box = (ndimage.find_objects(inside.astype(np.uint8)) or [(slice(0, 0),) * 3])[0]
    values = np.where(inside[box], np.rint(image[box] * 254) + 1, 0).astype(np.uint8)
    return image.shape, box, values


def _unpack(packed):
    shape, box, values = packed
    image, label = np.zeros(shape, np.float16), np.zeros(shape, bool)
    label[box] = values > 0
    image[box] = np.maximum(values, 1) * np.float32(1 / 254) - np.float32(1 / 254)
    return image, label
