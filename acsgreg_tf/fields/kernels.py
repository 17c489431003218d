"""The one place that knows numba: functions compiled to machine code, cached on disk, and run on all cores in slabs."""

import functools
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
import numpy as np

__all__ = ["in_slabs", "is_stored", "kernel", "locate", "threads"]

# Ranges that a kernel's work is split into, for each thread.
SLABS = 4


def kernel(function: Callable) -> Callable:
    """Compile a function of arrays and numbers; it runs without Python's lock.

    The machine code is stored beside the source, or in the user's cache folder, and read back by later processes. Where
    neither can be written each process compiles anew.
    """
    try:
        return numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # numba has nowhere to store it
        return numba.njit(nogil=True, error_model="numpy")(function)


def is_stored(function: Any) -> bool:
    """Whether a kernel's machine code is on disk, for its source as it is; True also where it cannot be stored."""
    folder = getattr(getattr(function, "stats", None), "cache_path", None)
    if folder is None:
        return True
    code = function.py_func.__code__
    # As numba names its index of a function.
    name = f"*.{function.py_func.__qualname__}-{code.co_firstlineno}.py{sys.version_info[0]}{sys.version_info[1]}*.nbi"
    changed = os.stat(code.co_filename).st_mtime
    return any(file.stat().st_mtime >= changed for file in Path(folder).glob(name))


@functools.cache
def threads() -> int:
    """How many threads kernels use: OMP_NUM_THREADS where it is set, else the cores that this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


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
