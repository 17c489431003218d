"""Work side by side: in processes, always spawned, sharing the cores and gone with their parent; or in threads."""

import contextlib
import importlib
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from acsgreg_tf.errors import InputError

__all__ = ["WorkerPool", "import_meanwhile", "run_each", "run_in_threads", "silence"]

_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")


def import_meanwhile(*modules: str) -> None:
    """Import modules in a thread, for who will need them: much of it fits into others' waiting for files and kernels.

    Args:
        modules: Their names; what cannot be imported is left to who needs it.
    """

    def work() -> None:
        for name in modules:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)

    threading.Thread(target=work, name="import", daemon=True).start()


def run_each(
    function: Callable[..., Any],
    items: Iterable[Any],
    processes: int = 1,
    initializer: Callable[[], Any] | None = None,
    arguments: tuple = (),
    cluster: str | None = None,
) -> Iterator[tuple[Any, Any]]:
    """Call `function(item, *arguments)` for each item, in worker processes or on a cluster.

    Args:
        function: A function at the top of a module, since it is pickled.
        items: What it is called with.
        processes: How many work side by side. 1 (or one item) runs in this process, in the items' order.
        initializer: Called once in each worker before the first item; not called in this process.
        arguments: Further arguments, sent to each worker once.
        cluster: Address of a Dask scheduler, whose workers take the place of processes (`acsgreg_tf.cluster`).

    Yields:
        (item, result) as they are finished.

    Raises:
        InputError: A worker died, or the cluster cannot be reached.
        Exception: Whatever `function` raises; the items that have not begun are dropped.
    """
    items = list(items)
    if cluster is not None:
        from acsgreg_tf.cluster import run_each_on

        yield from run_each_on(cluster, function, items, arguments)
        return
    if processes <= 1 or len(items) < 2:
        yield from ((item, function(item, *arguments)) for item in items)
        return
    pool = WorkerPool(function, min(processes, len(items)), initializer, arguments)
    try:
        futures = {pool.submit(item): item for item in items}
        for future in as_completed(futures):
            yield futures[future], pool.result(future)
    finally:
        pool.close()


def run_in_threads(
    function: Callable[[Any], Any], items: Iterable[Any], threads: int, stop: Callable[[], object]
) -> Iterator[tuple[Any, Any]]:
    """Call `function(item)` for each item in threads, for work that mostly runs without Python's lock.

    No more than `threads` calls are at work or wait to be taken, so that large results do not pile up.

    Args:
        function: What is called.
        items: What it is called with.
        threads: How many work side by side. 1 (or one item) runs in this thread.
        stop: Called when Ctrl-C comes while a result is waited for, and in the end: makes the calls that run end soon,
            in a result or an error.

    Yields:
        (item, result) in the items' order.

    Raises:
        Exception: Whatever `function` raises; the items that have not begun are dropped.
    """
    items = list(items)
    if threads <= 1 or len(items) < 2:
        yield from ((item, function(item)) for item in items)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="side by side")
    futures: deque[tuple[Any, Future]] = deque()
    try:
        for item in items:
            futures.append((item, pool.submit(function, item)))
            if len(futures) > threads:
                yield _taken(futures, stop)
        while futures:
            yield _taken(futures, stop)
    finally:
        stop()
        pool.shutdown(cancel_futures=True)


def _taken(futures: deque[tuple[Any, Future]], stop: Callable[[], object]) -> tuple[Any, Any]:
    item, future = futures.popleft()
    try:
        return item, future.result()
    except KeyboardInterrupt:
        stop()
        return item, future.result()


class WorkerPool:
    """Processes that call one function; `run_each` is the usual way to use it.

    They are spawned, never forked: the threads of TensorFlow do not survive a fork. So a script that uses them needs
    the usual `if __name__ == "__main__":`.

    Args:
        function: Called as `function(item, *arguments)`; a function at the top of a module.
        processes: How many.
        initializer: Called once in each worker before the first item.
        arguments: Sent to each worker once.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        processes: int,
        initializer: Callable[[], Any] | None = None,
        arguments: tuple = (),
    ) -> None:
        self.processes = processes
        threads = max(1, cores() // processes)
        # Pickled here, so that a worker limits its threads before it imports what the function needs.
        work = pickle.dumps((function, initializer, arguments))
        context = multiprocessing.get_context("spawn")
        self._executor = ProcessPoolExecutor(processes, context, _start, (threads, work))

    def submit(self, item: Any) -> Future:
        """Queue a call and return its Future.

        Raises:
            InputError: A worker died earlier.
            RuntimeError: The pool is closed, or the interpreter is shutting down.
        """
        try:
            return self._executor.submit(_call, item)
        except BrokenProcessPool as error:
            raise self._fault() from error

    def result(self, future: Future) -> Any:
        """Wait for a Future of `submit` and return its result.

        Raises:
            InputError: A worker died.
        """
        try:
            return future.result()
        except BrokenProcessPool as error:
            raise self._fault() from error

    def close(self) -> None:
        """Drop the calls that have not begun, wait for the others, and end the processes."""
        self._executor.shutdown(cancel_futures=True)

    def _fault(self) -> InputError:
        return InputError(
            f"processes {self.processes}: a worker process died (out of memory? or a script without "
            "`if __name__ == '__main__':`); try fewer"
        )


def cores() -> int:
    """How many cores this process may use, which are fewer than the machine's in a container or on a cluster."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def silence() -> None:
    """Initialiser of workers whose stderr nobody shall see: TensorFlow's first lines heed no setting."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


_work: tuple[Callable[..., Any], tuple] | None = None  # of a worker process: its function and arguments


def _start(threads: int, work: bytes) -> None:
    """Worker initialiser: follow the parent, leave Ctrl-C to it, limit threads, unpack the work."""
    global _work
    _follow_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in _THREADS:
        os.environ.setdefault(name, str(threads))
    function, initializer, arguments = pickle.loads(work)
    if initializer is not None:
        initializer()
    _work = function, arguments


def _call(item: Any) -> Any:
    assert _work is not None
    function, arguments = _work
    return function(item, *arguments)


def _follow_parent() -> None:
    """End this process as soon as its parent is gone: a parent that is killed cannot stop its workers."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="follow-parent").start()
