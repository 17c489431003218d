"""Commands that are killed (kill -9) at drawn moments and started again end as if nothing had happened.

ACSGREG_SEED draws other moments.
"""

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest

from tests.cli.cases import write_cases
from tests.cohort.test_prepare import OPTIONS, ball_scan
from tests.cohort.test_test_set import add_scan
from tests.processes import is_running, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SEED = int(os.environ.get("ACSGREG_SEED", 0))
# Seconds until a command must have written something: a busy machine imports TensorFlow in half a minute.
PATIENCE = 600


def content(folder):
    """{file: (size, time)} of all files in a folder, those that are being written too."""
    files = {}
    for path in folder.rglob("*"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        if path.is_file():
            files[str(path.relative_to(folder))] = (status.st_size, status.st_mtime_ns)
    return files


def kill_after_changes(command, folder, changes):
    """Start a command, and kill it as soon as its folder has changed so many times; False where it ended before."""
    before = content(folder)
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def changed():
        nonlocal before, changes
        now = content(folder)
        changes -= now != before
        before = now
        return changes <= 0 or process.poll() is not None

    wait_until(changed, PATIENCE)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    workers = [int(number) for number in children.read_text().split()] if children.exists() else []
    process.kill()
    process.wait()
    wait_until(lambda: not any(map(is_running, workers)), 60)
    return process.returncode == -signal.SIGKILL


def end(command):
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def rows(path, without=()):
    with open(path, newline="", encoding="utf-8") as file:
        return [{name: cell for name, cell in row.items() if name not in without} for row in csv.DictReader(file)]


def assert_same_files(folder, expected):
    """The same files with the same content, whatever packed them."""
    assert set(content(folder)) == set(content(expected))
    for name in content(expected):
        if name.endswith(".nii.gz"):
            ours, theirs = (gzip.decompress((side / name).read_bytes()) for side in (folder, expected))
            assert ours == theirs, name
        elif not name.startswith("records"):  # which hold the times of the scans
            assert (folder / name).read_bytes() == (expected / name).read_bytes(), name


def test_generate(tmp_path):
    def command(out):
        return [sys.executable, SCRIPTS / "generate.py", "--out", out, *("--count", 12, "--spacing", 4, "--seed", 3)]

    end(command(tmp_path / "whole"))
    out, rng = tmp_path / "killed", np.random.default_rng([SEED, 1])
    out.mkdir()
    for changes in rng.integers(1, 14, 3):
        before = content(out)
        # A vertebra whose image is there and whose label is not, is made again.
        whole = [name.removesuffix("_seg.nii.gz") for name in before if name.endswith("_seg.nii.gz") and name[0] != "."]
        done = {name: before[name] for stem in whole for name in (f"{stem}_ct.nii.gz", f"{stem}_seg.nii.gz")}
        kill_after_changes(command(out), out, changes)
        assert {name: mark for name, mark in content(out).items() if name in done} == done, "made again"
        assert sum(name.startswith(".") for name in content(out)) <= 1, "more than the file in progress is lost"
    end(command(out))
    assert_same_files(out, tmp_path / "whole")


def test_prepare(tmp_path):
    for number in range(8):
        ball_scan(tmp_path / "data", f"sub-{number:02d}")

    def command(out):
        return [sys.executable, SCRIPTS / "prepare.py", "--data", tmp_path / "data", *OPTIONS, "--out", out]

    end(command(tmp_path / "whole"))
    out, rng = tmp_path / "killed", np.random.default_rng([SEED, 2])
    out.mkdir()
    for changes in rng.integers(1, 20, 3):
        done = {name: mark for name, mark in content(out).items() if name.startswith("records/sub")}
        kill_after_changes(command(out), out, changes)
        assert {name: mark for name, mark in content(out).items() if name in done} == done, "done again"
        assert sum("/." in name for name in content(out)) <= 1
    end(command(out))
    assert_same_files(out, tmp_path / "whole")


def weights(path):
    """{name: array} of a model file."""
    arrays = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: arrays.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
    return arrays


def assert_same_run(folder, expected):
    """The same networks, log and state, and nothing else; sums in another order differ in their last digits."""
    assert set(content(folder)) == set(content(expected))
    for name in ("best.h5", "last.h5"):
        ours, theirs = weights(folder / name), weights(expected / name)
        for key in theirs:
            np.testing.assert_allclose(ours[key], theirs[key], atol=1e-4, err_msg=f"{name} {key}")
    for log in expected.glob("log-*.csv"):
        ours, theirs = rows(folder / log.name, ["seconds"]), rows(log, ["seconds"])
        assert [row["step"] for row in ours] == [row["step"] for row in theirs]
        for row, other in zip(ours, theirs, strict=True):
            assert float(row["loss"]) == pytest.approx(float(other["loss"]), abs=1e-3)


def state(folder):
    """(stage, step) of a run's state: (0, 0) before the first one."""
    if not (folder / "state.json").exists():
        return 0, 0
    note = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    return ("affine", "joint").index(note["stage"]), note["step"]


def test_train(tmp_path):
    shape = (32, 32, 32)
    for number in range(3):
        mask = np.zeros(shape, "uint8")
        mask[10 : 20 + number, 9 : 21 - number, 10:20] = 1
        image = mask * np.random.default_rng(number).uniform(0.4, 0.9, shape)
        nib.save(nib.Nifti1Image(image.astype("float32"), np.eye(4)), tmp_path / f"{number}.nii.gz")
    (tmp_path / "list.txt").write_text("0.nii.gz\n1.nii.gz\n2.nii.gz\n")

    def command(out, *more):
        size = ["--size", "tiny", "--batch-size", 1, "--window", 5, "--lr", 1e-3, "--no-tensorboard", "--gpu", -1]
        steps = ["--affine-epochs", 1, "--epochs", 3, "--steps-per-epoch", 4, "--save-every", 1]
        return [
            *(sys.executable, SCRIPTS / "train.py", "--img-list", tmp_path / "list.txt", "--model-dir", out),
            *(*size, *steps, *more),
        ]

    end(command(tmp_path / "whole"))
    out, rng = tmp_path / "killed", np.random.default_rng([SEED, 3])
    out.mkdir()
    for changes in rng.integers(2, 25, 4):
        before = state(out)
        resume = ["--resume"] if before != (0, 0) else []
        kill_after_changes(command(out, *resume), out, changes)
        assert state(out) >= before
        log = rows(out / "log-joint.csv") if (out / "log-joint.csv").exists() else []
        # At most the step between two saves is lost: what the log knows is an epoch's end, of which the state may lack
        # one step.
        assert not log or state(out) >= (1, int(log[-1]["step"]) - 1)
    end(command(out, *(["--resume"] if state(out) != (0, 0) else [])))
    assert_same_run(out, tmp_path / "whole")


def test_studies(tmp_path):
    def command(out):
        return [sys.executable, SCRIPTS / "studies.py", "--out", out, "--scale", "smoke", "--studies", "III"]

    end(command(tmp_path / "whole"))
    out, rng = tmp_path / "killed", np.random.default_rng([SEED, 4])
    out.mkdir()
    for changes in rng.integers(1, 160, 4):
        kill_after_changes(command(out), out, changes)
    end(command(out))
    assert_same_run(out / "runs" / "study-III", tmp_path / "whole" / "runs" / "study-III")
    ours, theirs = rows(out / "table3.csv"), rows(tmp_path / "whole" / "table3.csv")
    assert [row.keys() for row in ours] == [row.keys() for row in theirs]
    for row, other in zip(ours, theirs, strict=True):
        for name in other:
            if name != "level" and other[name]:
                # A voxel at the threshold may fall on either side.
                assert float(row[name]) == pytest.approx(float(other[name]), abs=5e-3), name
    assert not [name for name in content(out) if "/." in name or name.startswith(".")]


def test_register_pairs(tmp_path):
    cases = write_cases(tmp_path)
    pair = [cases[name] for name in ("fixed", "fixed_seg", "moving", "moving_seg")]
    lines = ["fixed,fixed_seg,moving,moving_seg,level,id", *(",".join([*pair, "L3", f"p{i}"]) for i in range(6))]
    (tmp_path / "pairs.csv").write_text("\n".join(lines), encoding="utf-8")

    def command(out):
        which = ["--pairs", tmp_path / "pairs.csv", "--out", out, "--model", cases["model"], "--transform", "rigid"]
        return [sys.executable, SCRIPTS / "register.py", *which]

    end(command(tmp_path / "whole"))
    out, rng = tmp_path / "killed", np.random.default_rng([SEED, 5])
    out.mkdir()
    for changes in rng.integers(2, 25, 3):
        done = rows(out / "results.csv") if (out / "results.csv").exists() else []
        marks = {name: mark for name, mark in content(out).items() if name.split("/")[0] in {row["id"] for row in done}}
        kill_after_changes(command(out), out, changes)
        assert {name: mark for name, mark in content(out).items() if name in marks} == marks, "registered again"
    end(command(out))
    free = ["seconds"]
    assert rows(out / "results.csv", free) == rows(tmp_path / "whole" / "results.csv", free)
    whole = {name for name in content(tmp_path / "whole") if "/." not in name}
    assert {name for name in content(out) if "/." not in name} == whole
    assert sum("/." in name for name in content(out)) <= 3  # the file in progress at each kill


def test_results(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("ann", "ben"):
        add_scan(tmp_path / "data", name, 22)
    lines = [f"{name},test,yes,L3,{name}_*" for name in ("ann", "ben")]
    (tmp_path / "data" / "people.csv").write_text("\n".join(["person,side,ct,levels,files", *lines]))

    def command(out):
        return [sys.executable, SCRIPTS / "results.py", "--data", tmp_path / "data", "--out", out, "--refine", 0]

    end(command(tmp_path / "whole"))
    out, rng = tmp_path / "killed", np.random.default_rng([SEED, 6])
    out.mkdir()
    for changes in rng.integers(2, 40, 3):
        done = rows(out / "rows.csv") if (out / "rows.csv").exists() else []
        kill_after_changes(command(out), out, changes)
        now = rows(out / "rows.csv") if (out / "rows.csv").exists() else []
        assert [row for row in done if row in now] == done, "measured again"
    end(command(out))
    free = [name for name in rows(out / "rows.csv")[0] if "seconds" in name]
    ours, theirs = (sorted(map(str, rows(side / "rows.csv", free))) for side in (out, tmp_path / "whole"))
    assert [row.replace(str(out), "") for row in ours] == [row.replace(str(tmp_path / "whole"), "") for row in theirs]
