"""Work on a Dask cluster of two workers: every item once, faults, and a worker that is lost on the way."""

import os
import signal
from pathlib import Path

import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.parallel import run_each

distributed = pytest.importorskip("distributed", reason="needs dask.distributed (the extra 'cluster')")


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes of one thread."""
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as running:
        yield running


def times(item, factor):
    return item * factor


def refuses_two(item, folder):
    if item == 2:
        with open(Path(folder) / "calls", "a") as file:
            file.write("called\n")
        raise InputError("item 2: is refused")
    return item


def ends_its_worker_once(item, folder):
    """Write a file for the item; the worker that is given item 3 first is killed (kill -9)."""
    mark = Path(folder) / "killed"
    if item == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    (Path(folder) / str(item)).write_text(str(os.getpid()), encoding="utf-8")
    return item


def ends_every_worker(item):
    os.kill(os.getpid(), signal.SIGKILL)


def test_every_item_is_done_once(cluster):
    results = list(run_each(times, [1, 2, 2, 3], arguments=(10,), cluster=cluster.scheduler_address))
    assert sorted(results) == [(1, 10), (2, 20), (2, 20), (3, 30)]


def test_a_fault_is_raised_as_it_is_and_not_tried_again(cluster, tmp_path):
    with pytest.raises(InputError, match="item 2: is refused"):
        list(run_each(refuses_two, [1, 2, 3], arguments=(str(tmp_path),), cluster=cluster.scheduler_address))
    assert (tmp_path / "calls").read_text() == "called\n"


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_nothing(cluster, tmp_path):
    results = list(
        run_each(ends_its_worker_once, range(8), arguments=(str(tmp_path),), cluster=cluster.scheduler_address)
    )
    assert sorted(results) == [(i, i) for i in range(8)]
    assert {path.name for path in tmp_path.iterdir()} == {*map(str, range(8)), "killed"}


@pytest.mark.slow
def test_an_item_that_ends_every_worker_is_named(cluster):
    with pytest.raises(InputError, match="7: ended one worker after another"):
        list(run_each(ends_every_worker, [7], cluster=cluster.scheduler_address))


@pytest.mark.slow
def test_a_scheduler_that_is_not_there_is_one_line(monkeypatch):
    from acsgreg_tf import cluster

    monkeypatch.setattr(cluster, "_PATIENCE", 1)
    with pytest.raises(InputError, match="tcp://127.0.0.1:1: no scheduler answers"):
        list(run_each(times, [1], arguments=(2,), cluster="tcp://127.0.0.1:1"))
