"""Readers in processes of their own: a crash, a hang or a thirst for memory there is one line here."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.io import isolated
from acsgreg_tf.io.isolated import call_isolated, in_this_process


def crash(path):
    os.abort()


def end(path):
    os._exit(0)


def stall(path):
    while True:
        pass


def sleep(path):
    time.sleep(1000)


def take_all_memory(path):
    return [np.ones(2**27) for _ in range(2**10)]


def refuse(path):
    raise InputError(f"{path}: is not liked")


def fail(path):
    raise KeyError("a bug")


def limits(path):
    return [isolated.resource.getrlimit(kind) for kind in (isolated.resource.RLIMIT_CPU, isolated.resource.RLIMIT_AS)]


def who(path, more):
    print("printed by a library")
    print("and complained of", file=sys.stderr)
    return os.getpid(), path, more


@pytest.fixture
def path(tmp_path):
    (tmp_path / "file.bin").write_bytes(bytes(10))
    return tmp_path / "file.bin"


def test_another_process_answers_and_prints_nothing(path, capfd):
    process, given, more = call_isolated(who, path, {"a": np.arange(3)})
    assert process != os.getpid() and given == path and more["a"].tolist() == [0, 1, 2]
    assert capfd.readouterr() == ("", "")
    with in_this_process():
        assert call_isolated(who, path, 1)[0] == os.getpid()


@pytest.mark.parametrize("reader", [crash, stall, sleep, take_all_memory])
def test_what_goes_wrong_there_is_one_line_here(path, monkeypatch, reader):
    monkeypatch.setattr(isolated, "_SECONDS", 2.0)
    monkeypatch.setattr(isolated, "_PATIENCE", 2.0)
    began = time.monotonic()
    with pytest.raises(InputError, match=r"file\.bin: cannot be read"):
        call_isolated(reader, path)
    assert time.monotonic() - began < 60


def test_a_child_that_ends_without_an_answer(path):
    with pytest.raises(InputError, match=r"file\.bin: cannot be read"):
        call_isolated(end, path)


def test_errors_come_through(path):
    with pytest.raises(InputError, match=r"file\.bin: is not liked"):
        call_isolated(refuse, path)
    with pytest.raises(KeyError, match="a bug"):
        call_isolated(fail, path)


@pytest.mark.skipif(isolated.resource is None, reason="Windows has no such limits")
def test_limits_that_are_lower_already_stay(path):
    """As on a cluster: an unprivileged process may not raise a hard limit."""
    code = (
        "import resource, sys; from acsgreg_tf.io import isolated; from tests.io.test_isolated import limits\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (9, 10)); resource.setrlimit(resource.RLIMIT_AS, (2**40, 2**40))\n"
        "print(isolated.call_isolated(limits, sys.argv[1]))"
    )
    answer = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    (cpu, hard), (memory, most) = eval(answer.stdout)
    assert (cpu, hard) == (9, 10) and memory < 2**40 and most == 2**40
