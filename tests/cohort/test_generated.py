"""Vertebrae made while training goes: those of the generator, each made once, in the order that was announced."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from acsgreg_tf.cohort.generated import GeneratedVertebrae
from acsgreg_tf.errors import InputError
from tests.cohort.cases import SMALL_SHAPE, Deadly, Logging, generator
from tests.processes import wait_until

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made():
    return [generator().make(index) for index in range(10)]


def test_pairs_are_ordered_pairs_of_a_level():
    vertebrae = GeneratedVertebrae(generator(), 15, 0)
    assert len(vertebrae) == 15 and vertebrae.inshape == SMALL_SHAPE and vertebrae.has_labels
    pairs = vertebrae.pairs()
    assert len({tuple(p) for p in pairs}) == 5 * 3 * 2
    assert all(f % 5 == m % 5 and f != m for f, m in pairs)


@pytest.mark.parametrize("processes", [0, 1])
def test_they_are_the_generators_own(made, processes):
    vertebrae = GeneratedVertebrae(generator(), 10, processes)
    vertebrae.prepare_order([3, 1])
    try:
        for index in (3, 7, 1, 3):
            image, label = vertebrae.get(index)
            assert image.dtype == np.float16 and label.dtype == bool and image.shape == SMALL_SHAPE
            np.testing.assert_array_equal(label, made[index][1] > 0)
            np.testing.assert_allclose(image, made[index][0], atol=0.6 / 254)
            assert not image[~label].any()
    finally:
        vertebrae.close()


def test_they_are_made_once_in_the_announced_order_and_then_the_others(tmp_path):
    log = tmp_path / "made.txt"
    vertebrae = GeneratedVertebrae(Logging(log), 10, 1)
    vertebrae.prepare_order([4, 2, 4, 8])
    wait_until(lambda: log.exists() and len(log.read_text().split()) == 10, 60)
    vertebrae.close()
    assert vertebrae.get(5)[1].any(), "what is made stays readable"
    assert [int(line) for line in log.read_text().split()] == [4, 2, 8, 0, 1, 3, 5, 6, 7, 9]


def test_a_process_that_exits_does_not_wait_for_the_rest():
    code = (
        "from tests.cohort.cases import generator\n"
        "from acsgreg_tf.cohort.generated import GeneratedVertebrae\n"
        "v = GeneratedVertebrae(generator(), 10000, 1)\n"
        "v.prepare_order([0]); v.get(0)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_a_dead_worker_is_one_line():
    vertebrae = GeneratedVertebrae(Deadly(), 10, 1)
    assert vertebrae.get(0)[1].any()
    with pytest.raises(InputError, match="a worker process died"):
        vertebrae.get(3)
    with pytest.raises(InputError, match="a worker process died"):
        vertebrae.get(4)
    assert vertebrae.get(0)[1].any(), "what is made stays readable"
    vertebrae.close()


@pytest.mark.parametrize("count, processes, words", [(1, 1, "1 generated vertebrae"), (5, -1, "-1 worker processes")])
def test_invalid_numbers_are_refused(count, processes, words):
    with pytest.raises(InputError, match=words):
        GeneratedVertebrae(generator(), count, processes)
