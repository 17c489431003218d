"""Calls a reader in a process of its own, so that a damaged file may crash or stall that process and not the caller's.

VTK and HDF5 follow what a file says about itself: on a damaged one they read beyond their memory, ask for all that
there is, or never end. Nothing that Python catches is raised then.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from acsgreg_tf.errors import InputError

try:
    import resource
except ImportError:  # Windows, where time alone is bounded
    resource = None  # type: ignore[assignment]

__all__ = ["call_isolated", "in_this_process"]

# What a call may take: processor seconds and bytes, and more for each byte of the file. Waiting may take longer.
_SECONDS, _SECONDS_A_BYTE = 20.0, 1e-6
_BYTES, _BYTES_A_BYTE = 4 * 2**30, 40
_PATIENCE = 15.0

_START = "import sys; sys.path[:] = sys.argv[1:]; from acsgreg_tf.io.isolated import serve; serve()"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")

_isolate = True


def call_isolated(function: Callable[..., Any], path: str | os.PathLike, *arguments: Any) -> Any:
    """Return `function(path, *arguments)`, computed in a child process with bounds on its time and memory.

    The child is a new interpreter, not a fork, which TensorFlow's threads would not survive; it takes about half a
    second.

    Args:
        function: A function at the top of a module that imports no TensorFlow; what it returns can be pickled.
        path: Of the file that it reads.
        arguments: Further arguments.

    Raises:
        InputError: What `function` raises as such, or the child crashed, took too long or asked for too much memory.
        Exception: Whatever else `function` raises.
    """
    if not (_isolate and sys.executable):  # an application that holds Python within has no interpreter to start
        return function(path, *arguments)
    size = os.path.getsize(path)
    seconds, memory = _SECONDS + _SECONDS_A_BYTE * size, int(_BYTES + _BYTES_A_BYTE * size)
    request = pickle.dumps((function, (path, *arguments), seconds, memory))
    command = [sys.executable, "-c", _START, *sys.path]
    environment = {**os.environ, **dict.fromkeys(_THREADS, "1")}
    try:
        child = subprocess.run(
            command,
            input=request,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=_PATIENCE * seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{path}: cannot be read (its reader does not end; is the file damaged?)") from error
    if child.returncode or not child.stdout:
        raise InputError(f"{path}: cannot be read (it crashes or stalls its reader; is the file damaged?)")
    answer, outcome = pickle.loads(child.stdout)
    if answer == "result":
        return outcome
    if isinstance(outcome, MemoryError):
        raise InputError(f"{path}: cannot be read (it asks for more memory than such a file needs)") from outcome
    raise outcome


@contextmanager
def in_this_process() -> Iterator[None]:
    """Within the block `call_isolated` calls directly: for a process that may crash itself, as those of a fuzz test."""
    global _isolate
    before, _isolate = _isolate, False
    try:
        yield
    finally:
        _isolate = before


def serve() -> None:
    """Answer one request on stdin; what a library prints goes nowhere."""
    function, arguments, seconds, memory = pickle.load(sys.stdin.buffer)
    with open(os.dup(1), "wb") as answer:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        if resource is not None:
            used = resource.getrusage(resource.RUSAGE_SELF)
            _bound(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + seconds) + 1)
            _bound(resource.RLIMIT_AS, memory)
            _bound(resource.RLIMIT_CORE, 0)
        try:
            with in_this_process():
                content: tuple[str, Any] = ("result", function(*arguments))
        except Exception as error:  # raised again by the caller
            content = ("error", error)
        pickle.dump(content, answer, protocol=pickle.HIGHEST_PROTOCOL)


def _bound(kind: int, most: int) -> None:
    """Lower a limit of this process, and leave one that is lower already, as a cluster sets it."""
    soft, hard = resource.getrlimit(kind)
    lowest = min([most, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)])
    with suppress(ValueError, OSError):  # without a bound a damaged file takes longer, no more
        resource.setrlimit(kind, (lowest, hard))
