"""Kernels that a second process compiles are those that a registration calls."""

import os
import subprocess
import sys

import pytest

from acsgreg_tf.registration import compile_ahead as module

# Kernels needed before the second process can have come to them, which the first compiles meanwhile.
EARLY = {"_along", "_warp"}
REGISTER = """
from acsgreg_tf.registration import register
from tests.registration.cases import NUMBER, grid_about, scan

grid = grid_about((0, 0, 0), (40, 40, 40), 1)
(fixed, fixed_seg), (moving, moving_seg) = scan(grid), scan(grid, (2, 1, 0), size=1.1)
register(fixed, moving, fixed_seg=fixed_seg, moving_seg=moving_seg, label=NUMBER, model="none", refine=1)
"""


def stored(folder):
    """By kernel, how many signatures are on disk."""
    names = [file.name.split(".")[1].rsplit("-", 1)[0] for file in folder.rglob("*.nbc")]
    return {name: names.count(name) for name in names}


@pytest.fixture
def started(monkeypatch):
    """What would have been started."""
    calls = []
    monkeypatch.setattr(module.subprocess, "Popen", lambda *args, **kwargs: calls.append(args))
    monkeypatch.setattr(module.atexit, "register", lambda *args: None)
    return calls


@pytest.mark.parametrize("cores, there, expected", [(2, False, 1), (1, False, 0), (2, True, 0)])
def test_the_process_is_started_where_it_has_something_to_do_and_a_core(monkeypatch, started, cores, there, expected):
    monkeypatch.setattr(module, "threads", lambda: cores)
    monkeypatch.setattr(module, "is_stored", lambda kernel: there)
    module.compile_ahead()
    assert len(started) == expected


@pytest.mark.slow
def test_a_registration_finds_the_kernels_compiled(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    def run(code):
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)

    imported = f"from {module.__name__} import compile_all, is_stored, fold_between; "
    run(imported + "assert not is_stored(fold_between); compile_all(); assert is_stored(fold_between)")
    ahead = stored(tmp_path)
    run(REGISTER)
    new = {name for name, count in stored(tmp_path).items() if count > ahead.get(name, 0)}
    assert new <= EARLY
