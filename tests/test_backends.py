"""From crops to a trained network to a registered pair by the command lines alone, on the backend of the tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.helpers import BACKEND, ball

ROOT = Path(__file__).resolve().parents[1]
SHAPE = (32, 32, 32)

# Hides TensorFlow from the other backends, which must do without; the interpreter runs it as it starts.
NO_TENSORFLOW = """
import sys
for name in ("tensorflow", "voxelmorph", "neurite", "tensorboard"):
    sys.modules[name] = None
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crops")
    texture = 0.6 + 0.3 * np.sin(np.indices(SHAPE).sum(0) * 0.5)
    for i, (radius, x) in enumerate(((9, 14), (8, 17))):
        mask = ball(SHAPE, radius, (x, 16, 15))[0, ..., 0]
        nib.save(nib.Nifti1Image((mask * texture).astype("float32"), np.eye(4)), folder / f"{i}_ct.nii.gz")
        nib.save(nib.Nifti1Image((mask > 0.5).astype("uint8"), np.eye(4)), folder / f"{i}_seg.nii.gz")
    (folder / "img.txt").write_text("0_ct.nii.gz\n1_ct.nii.gz\n", encoding="utf-8")
    (folder / "seg.txt").write_text("0_seg.nii.gz\n1_seg.nii.gz\n", encoding="utf-8")
    if BACKEND != "tensorflow":
        (folder / "sitecustomize.py").write_text(NO_TENSORFLOW, encoding="utf-8")
    return folder


def command(folder, script, *options):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / script, *map(str, options)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
def test_trained_and_registered_by_the_command_lines(folder):
    options = (
        "--img-list img.txt --seg-list seg.txt --size tiny --int-steps 3 --epochs 1 --steps-per-epoch 2 --batch-size 1 "
        "--window 5 --model-dir run --gpu -1"
    )
    done = command(folder, "train.py", *options.split(), *(["--no-tensorboard"] if BACKEND == "tensorflow" else []))
    if BACKEND != "tensorflow":
        assert "TensorBoard" in done.stderr
    options = (
        "--fixed 0_ct.nii.gz --fixed-seg 0_seg.nii.gz --moving 1_ct.nii.gz --moving-seg 1_seg.nii.gz "
        "--model run/best.h5 --moved moved.nii.gz --warp warp.h5 --metrics metrics.json --gpu -1"
    )
    command(folder, "register.py", *options.split())
    measures = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert all(np.isfinite(value) and value > 0.5 for value in measures["dice"].values())
    assert nib.load(folder / "moved.nii.gz").shape == SHAPE and (folder / "warp.h5").stat().st_size > 1000
