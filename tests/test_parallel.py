"""Workers: results, faults, Ctrl-C, their share of the cores, and that no process outlives its parent."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.parallel import run_each, run_in_threads
from tests.processes import is_running, wait_until

ROOT = Path(__file__).resolve().parents[1]
VARIABLE = "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"


def times(item, factor):
    return item * factor


def environment(item):
    return os.getpid(), os.environ.get(VARIABLE), os.environ.get("FROM_INITIALIZER")


def set_variable():
    os.environ["FROM_INITIALIZER"] = "yes"


def fails_at_two(item):
    if item == 2:
        raise InputError("item 2: is refused")
    return item


def dies_at_two(item):
    if item == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def wait_and_print(item):
    os.write(1, f"{os.getpid()}\n".encode())  # in one piece, beside another worker's
    time.sleep(60)


def test_one_process_keeps_the_order():
    assert list(run_each(times, [3, 1, 2], arguments=(10,))) == [(3, 30), (1, 10), (2, 20)]
    assert list(run_each(times, [], 2, arguments=(10,))) == []


def test_two_processes_give_the_same_results():
    assert sorted(run_each(times, [3, 1, 2], 2, arguments=(10,))) == [(1, 10), (2, 20), (3, 30)]


def test_workers_are_other_processes_share_the_cores_and_are_initialised(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    results = [result for _, result in run_each(environment, range(4), 2, set_variable)]
    share = str(max(1, (os.cpu_count() or 1) // 2))
    assert os.getpid() not in {process for process, _, _ in results}
    assert {(threads, flag) for _, threads, flag in results} == {(share, "yes")}
    assert VARIABLE not in os.environ and "FROM_INITIALIZER" not in os.environ


@pytest.mark.parametrize("processes", [1, 2])
def test_the_exception_of_an_item_is_raised(processes):
    with pytest.raises(InputError, match="item 2: is refused"):
        list(run_each(fails_at_two, range(4), processes))


def test_a_dead_worker_is_an_input_error():
    with pytest.raises(InputError, match="processes 2: a worker process died"):
        list(run_each(dies_at_two, range(4), 2))


def test_workers_end_with_a_parent_that_is_killed():
    code = (
        "from acsgreg_tf.parallel import run_each\n"
        "from tests.test_parallel import wait_and_print\n"
        "list(run_each(wait_and_print, range(2), 2))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT, text=True)
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    assert all(map(is_running, workers))
    parent.kill()
    parent.wait()
    wait_until(lambda: not any(map(is_running, workers)), 20)
    parent.stdout.close()


def nothing():
    pass


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_keep_the_order(threads):
    def slower_first(item):
        time.sleep(0.02 * (4 - item))
        return item * 10

    assert list(run_in_threads(slower_first, range(4), threads, nothing)) == [(n, 10 * n) for n in range(4)]
    assert list(run_in_threads(slower_first, [], threads, nothing)) == []


def test_threads_work_side_by_side_and_wait_for_what_is_not_taken():
    both, begun = threading.Barrier(2), []

    def work(item):
        begun.append(item)
        if item < 2:
            both.wait(timeout=10)  # raises where the other one has not begun
        return item

    results = run_in_threads(work, range(6), 2, nothing)
    assert next(results) == (0, 0)
    time.sleep(0.1)
    assert len(begun) <= 3
    assert [item for item, _ in results] == [1, 2, 3, 4, 5]


def test_an_error_in_a_thread_ends_the_others():
    stopped, begun = threading.Event(), []

    def work(item):
        begun.append(item)
        if item == 0:
            raise InputError("item 0: is refused")
        assert stopped.wait(timeout=10)

    with pytest.raises(InputError, match="item 0"):
        list(run_in_threads(work, range(5), 2, stopped.set))
    assert stopped.is_set() and len(begun) <= 3


def test_ctrl_c_in_a_wait_stops_the_threads_and_takes_what_they_have(ctrl_c):
    stopped = threading.Event()

    def work(item):
        if item == 0:
            time.sleep(1)  # this thread is waited for by then
            os.kill(os.getpid(), signal.SIGINT)
        assert stopped.wait(timeout=10)
        return "the best so far"

    results = run_in_threads(work, range(3), 2, stopped.set)
    assert next(results) == (0, "the best so far")
    results.close()
