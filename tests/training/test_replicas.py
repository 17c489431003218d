"""Several devices and processes train as one device with the same batch does: losses, weights, files."""

import csv
import json
import os
import socket
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.networks import load
from acsgreg_tf.ops import distribution
from acsgreg_tf.training import Recipe, train
from tests.helpers import ball
from tests.training.replicas import SHAPE

pytestmark = pytest.mark.tensorflow
slow = pytest.mark.slow


def start(kind, folder, *steps, **environment):
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training.replicas", kind, str(folder), *map(str, steps)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """What a process printed last, when it is done."""
    shown, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors[-3000:]
    return shown.split()


def losses(folder):
    with open(folder / "run" / "log-joint.csv", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    return [[float(row[name]) for name in sorted(row) if name.endswith("loss")] for row in table]


def weights(folder, task=0):
    with np.load(folder / f"weights-{task}.npz") as file:
        return [file[name] for name in file.files]


def check_as_on_one(folder, one):
    np.testing.assert_allclose(losses(folder), losses(one), atol=5e-5)
    ours, theirs = (np.concatenate([weight.ravel() for weight in weights(place)]) for place in (folder, one))
    # Adam makes a whole step, 2e-3, of rounding where a gradient is near zero: few weights may differ by a part of it.
    np.testing.assert_allclose(ours, theirs, atol=1.5e-3)
    assert np.abs(ours - theirs).mean() < 2e-5
    for ours, theirs in zip(load(folder / "run" / "last.h5").get_weights(), weights(folder), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The run on one device, beside the vertebrae that all runs read."""
    folder = tmp_path_factory.mktemp("replicas")
    texture = 0.6 + 0.3 * np.sin(np.indices(SHAPE).sum(0) * 0.9)
    for i, (radius, x) in enumerate(((4, 7), (5, 8), (4.5, 8.5), (5.5, 7.5))):
        mask = ball(SHAPE, radius, (x, 8, 7))[0, ..., 0]
        for what, volume in (("ct", mask * texture), ("seg", (mask > 0.5).astype("float32"))):
            nib.save(nib.Nifti1Image(volume.astype("float32"), np.eye(4)), folder / f"{i}_{what}.nii.gz")
    assert finish(start("one", folder / "one")) == ["1", "1", "True"]
    return folder / "one"


@slow
def test_two_devices_of_one_process_stopped_and_resumed(one):
    folder = one.parent / "two"
    assert finish(start("two", folder, 2)) == ["2", "1", "True"]
    check_as_on_one(folder, one)


@slow
def test_two_processes_stopped_and_resumed(one):
    folder = one.parent / "processes"
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    cluster = {"worker": [f"127.0.0.1:{taken.getsockname()[1]}" for taken in sockets]}
    for taken in sockets:
        taken.close()
    started = [
        start("process", folder, 2, TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": "worker", "index": i}}))
        for i in range(2)
    ]
    try:
        assert [finish(process) for process in started] == [["2", "2", "True"], ["2", "2", "False"]]
    finally:
        for process in started:
            process.kill()
    check_as_on_one(folder, one)
    for ours, theirs in zip(weights(folder, 0), weights(folder, 1), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not list((folder / "run").glob(".*"))


@pytest.mark.parametrize(
    "config",
    [
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        "{",
        "[]",
        '{"cluster": {}, "task": {"type": "worker", "index": 0}}',
        "3",
    ],
)
def test_a_tf_config_that_cannot_be_used_is_refused(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(InputError, match="TF_CONFIG"):
        distribution.devices()


def test_one_device_is_no_strategy():
    with distribution.devices():
        assert (distribution.replicas(), distribution.processes(), distribution.is_chief()) == (1, 1, True)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"batch_size": 4}, "batch_size 4: must be divisible by 3"),
        ({"batch_size": 3, "accumulate": 2}, "accumulate 2: works on one device, not on 3"),
    ],
)
def test_what_replicas_cannot_share_is_refused(monkeypatch, tmp_path, changes, words):
    monkeypatch.setattr(distribution, "replicas", lambda: 3)
    with pytest.raises(InputError, match=words):
        train(None, None, Recipe(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()
