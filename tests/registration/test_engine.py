"""Engines: both compute one answer, which is chosen when, and what a network that cannot be computed leads to."""

import os
import subprocess
import sys

import numpy as np
import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.cache import cache_folder
from acsgreg_tf.registration import engine, load_engine, load_model, openvino_engine
from acsgreg_tf.registration.engine import KerasEngine
from acsgreg_tf.registration.openvino_engine import ConversionError, OpenVinoEngine
from tests.helpers import noise
from tests.registration.cases import BOX, KnownNetwork, save_network


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return save_network(tmp_path_factory.mktemp("network") / "small.h5")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACSGREG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def without_openvino(monkeypatch):
    monkeypatch.setattr(engine, "has_openvino", lambda: False)


def test_both_engines_compute_one_answer(path):
    ours, other = load_engine(path, "openvino"), load_engine(path, "keras")
    assert isinstance(ours, OpenVinoEngine) and isinstance(other, KerasEngine)
    assert (ours.inshape, ours.int_steps, ours.name) == (other.inshape, other.int_steps, other.name)
    assert ours.title.startswith("openvino 20") and other.title.startswith("keras 3")
    fixed, moving = np.abs(noise(BOX)), np.abs(noise(BOX, seed=1))
    affine, velocity = ours.affine(fixed, moving), ours.velocity(fixed, moving)
    assert affine.shape == (3, 4) and np.abs(velocity).max() > 1e-3
    np.testing.assert_allclose(affine, other.affine(fixed, moving), atol=1e-4)
    np.testing.assert_allclose(velocity, other.velocity(fixed, moving), atol=1e-4)


def test_a_network_is_converted_once(path, monkeypatch):
    load_engine(path, "openvino")
    monkeypatch.setattr(openvino_engine, "_convert", None)
    load_engine(path, "openvino")
    assert len(list((cache_folder() / "openvino").iterdir())) == 1


@pytest.mark.parametrize("keep, times", [(True, 2), (False, 4)])
def test_what_is_read_is_held_or_not(path, monkeypatch, keep, times):
    read, read_stage = [], openvino_engine._read_stage
    monkeypatch.setattr(openvino_engine, "_read_stage", lambda file: read.append(file.stem) or read_stage(file))
    ready, image = load_engine(path, "openvino", keep), np.abs(noise(BOX))
    first, second = ([ready.affine(image, image), ready.velocity(image, image)] for _ in range(2))
    assert len(read) == times and set(read) == {"affine", "deformable"}
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_read_ahead_is_read_once(path, monkeypatch):
    read, read_stage = [], openvino_engine._read_stage
    monkeypatch.setattr(openvino_engine, "_read_stage", lambda file: read.append(file.stem) or read_stage(file))
    ready, image = load_engine(path, "openvino", keep=False), np.abs(noise(BOX))
    for _ in range(2):
        ready.read_ahead()
    ahead = ready.velocity(image, image)
    assert read == ["deformable"]
    np.testing.assert_array_equal(ahead, ready.velocity(image, image))
    assert read == ["deformable"] * 2


def test_auto_takes_openvino_for_files_and_keras_for_networks(path):
    assert isinstance(load_engine(path), OpenVinoEngine)
    assert isinstance(load_engine(KnownNetwork()), KerasEngine)
    ready = load_engine(KnownNetwork())
    assert load_engine(ready) is ready
    with pytest.raises(InputError, match="takes a model's path"):
        load_engine(KnownNetwork(), "openvino")
    with pytest.raises(InputError, match="engine fast: must be one of"):
        load_engine(path, "fast")


def test_auto_takes_keras_where_openvino_is_missing(path, without_openvino):
    assert isinstance(load_engine(path), KerasEngine)
    with pytest.raises(InputError, match="not installed"):
        load_engine(path, "openvino")


def test_auto_takes_keras_where_a_network_cannot_be_converted(path, monkeypatch):
    def fail(*arguments):
        raise ConversionError("no such operation")

    monkeypatch.setattr(openvino_engine, "cached_folder", fail)
    assert isinstance(load_engine(path), KerasEngine)
    with pytest.raises(InputError, match="cannot compute this network .no such operation"):
        load_engine(path, "openvino")


def test_a_conversion_that_ends_early_says_why(path, monkeypatch, tmp_path):
    monkeypatch.setattr(openvino_engine, "_START", "raise SystemError('out of paper')")
    with pytest.raises(ConversionError, match="out of paper"):
        openvino_engine._convert(path, tmp_path)
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(ConversionError, match="no Python"):
        openvino_engine._convert(path, tmp_path)


def test_faults_of_a_model_file_are_one_line_that_names_it(tmp_path):
    broken, missing = tmp_path / "broken.h5", tmp_path / "missing.h5"
    broken.write_bytes(b"no model")
    for file in (broken, missing):
        with pytest.raises(InputError) as caught:
            load_engine(file, "openvino")
        assert str(caught.value).startswith(f"{file}: ") and "\n" not in str(caught.value)
    network = load_model(save_network(tmp_path / "sick.h5"))
    network.set_weights([np.full_like(w, np.nan) for w in network.get_weights()])
    network.save(tmp_path / "sick.h5")
    with pytest.raises(InputError, match="NaN or infinite"):
        load_engine(tmp_path / "sick.h5", "openvino")


@pytest.mark.parametrize("content", [lambda blob: blob[: len(blob) // 2], lambda blob: b"", lambda blob: b"no model"])
def test_a_damaged_cache_is_named(path, monkeypatch, tmp_path, content):
    monkeypatch.setenv("ACSGREG_CACHE", str(tmp_path))
    load_engine(path, "openvino")
    (file,) = tmp_path.rglob("affine.blob")
    file.write_bytes(content(file.read_bytes()))
    with pytest.raises(InputError, match="affine.blob: is damaged; remove it"):
        load_engine(path, "openvino").affine(np.zeros(BOX), np.zeros(BOX))


def test_a_signal_after_an_engine_is_gone_is_handled(path):
    """OpenVINO handles signals on a stack of its own, which must not go with the engine."""
    code = (
        "import os, signal, sys, numpy as np; from acsgreg_tf.registration import load_engine\n"
        "engine = load_engine(sys.argv[1], 'openvino'); image = np.zeros(engine.inshape, 'float32')\n"
        "engine.affine(image, image); engine.velocity(image, image); del engine\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); os.kill(os.getpid(), signal.SIGTERM)"
    )
    assert subprocess.run([sys.executable, "-c", code, path], env=os.environ).returncode == 7
