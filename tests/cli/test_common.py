"""What all command lines share: the choice of a GPU, and JSON files."""

import json

import pytest

from acsgreg_tf.cli import common


@pytest.mark.tensorflow
def test_a_gpu_that_is_not_there(monkeypatch, tf):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # put back afterwards
    with pytest.raises(ValueError, match="--gpu 3: TensorFlow finds 0 GPUs of that number"):
        common.start_backend("3")


def test_json_has_no_numbers_that_json_lacks(tmp_path):
    common.write_json(tmp_path / "m.json", {"a": [float("nan"), 1], "b": {"c": float("inf")}})
    assert json.loads((tmp_path / "m.json").read_text(encoding="utf-8")) == {"a": [None, 1], "b": {"c": None}}
