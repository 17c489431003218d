"""Work in slabs, and where compiled code may not be stored."""

import os
import subprocess
import sys

import numpy as np
import pytest

from acsgreg_tf.fields import kernels


def mark(values, start, stop):
    values[start:stop] += 1


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 7, 100])
def test_slabs_make_up_the_whole_range_once(monkeypatch, threads, count):
    monkeypatch.setattr(kernels, "threads", lambda: threads)
    values = np.zeros(count)
    kernels.in_slabs(mark, count, values, least=3)
    np.testing.assert_array_equal(values, 1)


def test_an_error_in_any_slab_is_raised(monkeypatch):
    monkeypatch.setattr(kernels, "threads", lambda: 2)

    def fail(start, stop):
        if stop == 10:
            raise ValueError("the last one")

    with pytest.raises(ValueError, match="the last one"):
        kernels.in_slabs(fail, 10, least=1)


@pytest.mark.parametrize("wanted, expected", [("3", 3), ("", None), ("none", None)])
def test_the_number_of_threads_follows_the_environment(monkeypatch, wanted, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    kernels.threads.cache_clear()
    try:
        assert kernels.threads() == expected if expected else kernels.threads() >= 1
    finally:
        kernels.threads.cache_clear()


def test_stored_code_follows_the_sources_of_all_kernels_in_it(tmp_path):
    start = "from acsgreg_tf.fields.kernels import is_stored, kernel\n"
    (tmp_path / "low.py").write_text(f"{start}@kernel\ndef f(x):\n    return x + 1\n")
    (tmp_path / "middle.py").write_text(f"{start}from low import f\n@kernel\ndef g(x):\n    return f(x)\n")
    high = f"{start}from middle import g\n@kernel\ndef h(x):\n    return g(x)\n"
    (tmp_path / "high.py").write_text(f"{high}print(is_stored(h), h(1), is_stored(h))\n")
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def answer():
        command = [sys.executable, "high.py"]
        run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return run.stdout.split()

    assert answer() == ["False", "2", "True"]
    os.utime(tmp_path / "high.py", (0, 0))
    assert answer() == ["True", "2", "True"]
    source = tmp_path / "low.py"
    source.write_text(source.read_text().replace("x + 1", "x + 9"))
    assert answer() == ["False", "10", "True"]


@pytest.mark.slow
def test_without_a_place_for_compiled_code_each_process_compiles_anew(tmp_path):
    """numba refuses to cache then; the package works all the same."""
    code = (
        "import numba.core.caching as c; c.CacheImpl._locator_classes = []\n"
        "import numpy as np; from acsgreg_tf import fields\n"
        "print(fields.integrate(np.zeros((4, 4, 4, 3), 'float32')).shape)"
    )
    answer = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "(4, 4, 4, 3)"
