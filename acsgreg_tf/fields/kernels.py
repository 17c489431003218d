"""The one place that knows numba: functions compiled to machine code, cached on disk, and run on all cores in slabs."""

import functools
import hashlib
import os
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
import numpy as np

from acsgreg_tf.parallel import cores

__all__ = ["in_slabs", "is_stored", "kernel", "locate", "threads"]

# Ranges that a kernel's work is split into, for each thread.
SLABS = 4
# By file with kernels: itself, and the files whose kernels are compiled into its own.
_sources: dict[str, set[str]] = {}


def kernel(function: Callable) -> Callable:
    """Compile a function of arrays and numbers; it runs without Python's lock.

    The machine code is stored beside the source, or in the user's cache folder, and read back by later processes. Where
    neither can be written each process compiles anew.
    """
    try:
        compiled = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # numba has nowhere to store it
        return numba.njit(nogil=True, error_model="numpy")(function)
    index = _index_of(compiled)
    if index is not None:
        # numba's own stamp is of the function's file alone, but kernels of other files are compiled into it.
        index._source_stamp = _stamp(function)
    return compiled


def _index_of(function: Any) -> Any:
    """numba's index of a kernel's stored machine code; None where it is not stored, or where numba has changed."""
    index = getattr(getattr(function, "_cache", None), "_cache_file", None)
    return index if hasattr(index, "_source_stamp") and hasattr(index, "_load_index") else None


def _stamp(function: Callable) -> str:
    """A digest of all files that a kernel is compiled from."""
    own = function.__code__.co_filename
    files = _sources.setdefault(own, {own})
    for other in function.__globals__.values():
        if hasattr(other, "py_func"):
            files |= _sources.get(other.py_func.__code__.co_filename, set())
    return hashlib.sha256(b"".join(map(_content, sorted(files)))).hexdigest()


@functools.cache
def _content(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError:  # compiled Python alone was installed
        return b""


def is_stored(function: Any) -> bool:
    """Whether a kernel's machine code is on disk, for its source as it is; True also where it cannot be stored."""
    index = _index_of(function)
    try:
        return index is None or bool(index._load_index())
    except (OSError, EOFError, pickle.UnpicklingError):
        return False


@functools.cache
def threads() -> int:
    """How many threads kernels use: OMP_NUM_THREADS where it is set, else the cores that this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return cores()


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads(), thread_name_prefix="fields")


def in_slabs(function: Callable, count: int, *arguments: object, least: int = 8) -> None:
    """Call a kernel as function(*arguments, start, stop) for ranges that make up 0 to `count`, side by side.

    Args:
        function: Writes what belongs to its range and nothing else.
        count: Length of the whole range.
        arguments: Passed on.
        least: Ranges are no shorter than this; one that would be is not split.
    """
    parts = max(1, min(SLABS * threads(), count // least))
    if parts == 1 or threads() == 1:
        function(*arguments, 0, count)
        return
    edges = np.linspace(0, count, parts + 1).astype(int)
    # Each thread takes the next range when it is done with one: some hold more work than others.
    ranges = iter(list(zip(edges[:-1], edges[1:], strict=True)))

    def work() -> None:
        for start, stop in ranges:
            function(*arguments, start, stop)

    calls = [_pool().submit(work) for _ in range(threads() - 1)]
    work()
    for call in calls:
        call.result()


@kernel
def locate(place: float, side: int) -> tuple:
    """The cell of a coordinate on an axis: (its first voxel, the step to the next, the place in it from 0 to 1).

    A coordinate outside, or NaN, is moved to the edge.
    """
    top = side - 1.0
    place = place if place > 0.0 else 0.0
    place = place if place < top else top
    first = min(int(place), max(side - 2, 0))
    return first, (1 if side > 1 else 0), np.float32(place - first)
