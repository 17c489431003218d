"""What a method costs: run in a process of its own, its time cold and warm, and the memory that it takes at most."""

import os
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

from acsgreg_tf.evaluation.measures import Outcome
from acsgreg_tf.evaluation.methods import Method
from acsgreg_tf.evaluation.pairs import Pair
from acsgreg_tf.parallel import WorkerPool, silence

_INTERVAL = 0.05  # s, between two looks at the memory


def isolated(methods: Iterable[Method]) -> list["IsolatedMethod"]:
    """The methods, each in a process that ends when the next one's begins."""
    process = _Process()
    return [IsolatedMethod(method, process) for method in methods]


@dataclass(frozen=True)
class IsolatedMethod:
    """A method whose outcomes say what they cost: `seconds_cold` and `memory_mb` beside `seconds`.

    The first pair of a process is registered twice: the first time gives the cold seconds, from the start of the
    process to its outcome, imports and reading and measures of the transform included; what follows is warm.

    Args:
        method: What runs.
        process: Where; shared by methods that take turns.
    """

    method: Method
    process: "_Process" = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """The method's name."""
        return self.method.name

    def made_by(self) -> str:
        """The method's, and that it has a process of its own."""
        return f"{self.method.made_by()}, in a process of its own"

    def check(self) -> None:
        """Raise InputError if the method cannot run."""
        self.method.check()

    def run(self, pair: Pair) -> Outcome:
        """Register one pair.

        Raises:
            InputError: The process died, which another method's or pair's run begins anew.
            Exception: Whatever the method fails with.
        """
        try:
            return self.process.run(self.method, pair)
        except BaseException:
            self.process.close()
            raise


class _Process:
    """One worker process at a time, that of the method which ran last."""

    def __init__(self) -> None:
        self._method: Method | None = None
        self._pool: WorkerPool | None = None
        self._memory: _PeakMemory | None = None
        self._cold = float("nan")

    def run(self, method: Method, pair: Pair) -> Outcome:
        if self._pool is None or self._method is not method:
            self.close()
            begun = time.perf_counter()
            self._pool, self._method = WorkerPool(_run, 1, silence, (method,)), method
            starting = self._pool.submit(None)
            self._memory = _PeakMemory(starting)
            self._pool.result(self._pool.submit(pair))
            self._cold = time.perf_counter() - begun
        outcome = self._pool.result(self._pool.submit(pair))
        assert self._memory is not None
        return replace(outcome, seconds_cold=self._cold, memory_mb=self._memory.peak_mb)

    def close(self) -> None:
        if self._memory is not None:
            self._memory.stop()
        if self._pool is not None:
            self._pool.close()
        self._pool = self._memory = self._method = None


def _run(pair: Pair | None, method: Method) -> Outcome | int:
    """In the worker: the outcome of a pair, or the worker's process id."""
    return os.getpid() if pair is None else method.run(pair)


class _PeakMemory(threading.Thread):
    """The most memory that a process and its children have held at one time, MB; NaN where there is no /proc.

    Of each process its own peak so far counts, as Linux keeps it; a child's counts as long as it lives.
    """

    def __init__(self, process_id: Future) -> None:
        super().__init__(daemon=True, name="peak-memory")
        self.peak_mb = float("nan")
        self._id = process_id
        self._ended = threading.Event()
        self.start()

    def run(self) -> None:
        try:
            root = self._id.result()
        except Exception:  # the worker died; whoever waits for a pair hears of it
            return
        while not self._ended.wait(_INTERVAL):
            total = sum(_peak_kb(process) for process in _tree(root)) / 1024
            if total:
                self.peak_mb = total if self.peak_mb != self.peak_mb else max(self.peak_mb, total)

    def stop(self) -> None:
        self._ended.set()


def _tree(process: int) -> list[int]:
    """A process and all that it started, as far as they live."""
    processes = [process]
    for parent in processes:
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                processes.extend(map(int, path.read_text().split()))
            except OSError:  # ended meanwhile
                continue
    return processes


def _peak_kb(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
