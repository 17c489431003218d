"""Vertebrae made while training goes: those of the cohort, in the order asked for, and no process left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from acsgreg_tf.cohort.generated import GeneratedVertebrae, ordered_indices
from acsgreg_tf.errors import InputError
from acsgreg_tf.synthesis.generator import CohortGenerator
from acsgreg_tf.training.batches import PairBatches

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (32, 32, 16)


def generator(seed=1):
    return CohortGenerator(seed, spacing=4)


@pytest.fixture(scope="module")
def made():
    return [generator().make(index) for index in range(10)]


def test_pairs_are_ordered_pairs_of_a_level():
    vertebrae = GeneratedVertebrae(generator(), 15, 0)
    assert len(vertebrae) == 15 and vertebrae.inshape == SHAPE
    pairs = vertebrae.pairs()
    assert len({tuple(p) for p in pairs}) == 5 * 3 * 2
    assert all(f % 5 == m % 5 and f != m for f, m in pairs)


def test_ordered_indices():
    assert ordered_indices(["a", "b", "a"]).tolist() == [[0, 2], [2, 0]]
    assert ordered_indices(["a", "b"]).shape == (0, 2)


@pytest.mark.parametrize("processes", [0, 1])
def test_they_are_the_generators_own(made, processes):
    vertebrae = GeneratedVertebrae(generator(), 10, processes)
    vertebrae.prepare_order([3, 1])
    try:
        for index in (3, 7, 1, 3):
            image, label = vertebrae.get(index)
            assert image.dtype == np.float16 and label.dtype == bool and image.shape == SHAPE
            np.testing.assert_array_equal(label, made[index][1] > 0)
            np.testing.assert_allclose(image, made[index][0], atol=0.6 / 254)
            assert not image[~label].any()
    finally:
        vertebrae.close()


def test_what_is_expected_is_made_in_that_order_and_once():
    vertebrae = GeneratedVertebrae(generator(), 10, 1)
    asked, submit = [], vertebrae._submit
    vertebrae._submit = lambda index: asked.append(index) or submit(index)
    vertebrae.prepare_order([4, 2, 4, 8])
    deadline = time.monotonic() + 60
    while len(vertebrae._packed) < 10 and time.monotonic() < deadline:
        time.sleep(0.02)
    vertebrae.close()
    assert asked == [4, 2, 8, 0, 1, 3, 5, 6, 7, 9]
    assert vertebrae.get(5)[1].any(), "what is made stays"


def test_batches_tell_what_they_need_first():
    vertebrae = GeneratedVertebrae(generator(), 40, 0)
    told = []
    vertebrae.prepare_order = lambda indices: told.append(list(indices))
    batches = PairBatches(vertebrae, 2, 3, seed=4, first=1, last=6)
    used = [batches.pairs[batches._order_of((1 + i) // 3)[((1 + i) % 3) * 2 :][:2]] for i in range(5)]
    batches.volumes(2)
    batches.volumes(0)
    (order,) = told
    assert order == list(dict.fromkeys(np.concatenate(used).ravel().tolist()))


def test_batches_of_generated_pairs_are_the_same_with_and_without_workers():
    found = []
    for processes in (0, 2):
        vertebrae = GeneratedVertebrae(generator(), 10, processes)
        found.append([PairBatches(vertebrae, 2, 4, seed=2, augment=True).volumes(i) for i in range(2)])
        vertebrae.close()
    for one, other in zip(*found, strict=True):
        assert set(one) == {"fixed", "moving", "fixed_seg", "moving_seg"}
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_workers_end_with_a_parent_that_is_killed():
    code = (
        "from acsgreg_tf.synthesis.generator import CohortGenerator\n"
        "from acsgreg_tf.cohort.generated import GeneratedVertebrae\n"
        "import sys, time\n"
        "v = GeneratedVertebrae(CohortGenerator(1, spacing=4), 10000, 1)\n"
        "v.prepare_order([0]); v.get(0)\n"
        "print(*v._pool._executor._processes, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT, text=True)
    worker = int(parent.stdout.readline())
    os.kill(worker, 0)  # it is there
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and _runs(worker):
        time.sleep(0.05)
    assert not _runs(worker)


def _runs(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    return not (status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def test_a_process_that_exits_does_not_wait_for_the_rest():
    code = (
        "from acsgreg_tf.synthesis.generator import CohortGenerator\n"
        "from acsgreg_tf.cohort.generated import GeneratedVertebrae\n"
        "v = GeneratedVertebrae(CohortGenerator(1, spacing=4), 10000, 1)\n"
        "v.prepare_order([0]); v.get(0)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_a_dead_worker_is_one_line():
    vertebrae = GeneratedVertebrae(generator(), 10, 1)
    assert vertebrae.get(0)[1].any()
    (worker,) = vertebrae._pool._executor._processes
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(InputError, match="a worker process died"):
        for index in range(1, 10):
            vertebrae.get(index)
    vertebrae.close()


@pytest.mark.parametrize("count, processes, words", [(1, 1, "1 generated vertebrae"), (5, -1, "-1 worker processes")])
def test_numbers_that_make_no_sense_are_refused(count, processes, words):
    with pytest.raises(InputError, match=words):
        GeneratedVertebrae(generator(), count, processes)
