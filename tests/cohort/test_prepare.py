"""Scans become crops and a manifest: centred, restartable, every fault a line; the command prepare.py too."""

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from acsgreg_tf import evaluation
from acsgreg_tf.anatomy.levels import TABLES
from acsgreg_tf.cli.prepare import main
from acsgreg_tf.cohort.dataset import Vertebrae
from acsgreg_tf.cohort.manifest import read_manifest, usable
from acsgreg_tf.cohort.split import read_split
from acsgreg_tf.geometry import Grid, resample
from tests.processes import is_running, wait_until

ROOT = Path(__file__).resolve().parents[2]
SPINES = ROOT.parent / "shared" / "data" / "spines"
SHAPE = (24, 24, 16)
VERSE = TABLES["verse"]
OPTIONS = ["--shape", *map(str, SHAPE)]
# Axes to the left, back and up, 1 x 1 x 1.25 mm, anywhere.
AFFINE = np.array([[-1, 0, 0, 40.3], [0, -1, 0, 12.1], [0, 0, 1.25, -300.7], [0, 0, 0, 1]])


def ball_scan(folder, name, levels=("L1", "L2"), radius=6.0, affine=AFFINE, ct=True, label=True, start=10.0):
    """A VerSe scan whose vertebrae are balls of `radius` mm one above the other; returns their middles, RAS mm."""
    shape = (30, 28, 16 + 16 * len(levels))
    at = np.moveaxis(np.indices(shape), 0, -1)
    mask = np.zeros(shape, np.uint8)
    middles = {}
    for n, level in enumerate(levels):
        middle = np.array([15.2, 13.1, start + 16 * n])
        mask[np.linalg.norm((at - middle) * [1, 1, 1.25], axis=-1) <= radius] = VERSE[level]
        middles[level] = affine[:3, :3] @ middle + affine[:3, 3]
    hu = np.random.default_rng(len(name)).normal(60, 20, shape) + 400 * (mask > 0)
    folder.mkdir(parents=True, exist_ok=True)
    for wanted, end, data in ((ct, "ct", hu.astype(np.int16)), (label, "seg-vert_msk", mask)):
        if wanted:
            nib.save(nib.Nifti1Image(data, affine), folder / f"{name}_{end}.nii.gz")
    return middles


def prepare(data, out, *more):
    return main(["--data", str(data), "--out", str(out), *OPTIONS, *map(str, more)])


def rows(out):
    with open(out / "manifest.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """(data, out, middles) of six people with two levels each."""
    folder = tmp_path_factory.mktemp("cohort")
    middles = {f"sub-{n}": ball_scan(folder / "data", f"sub-{n}", radius=5 + n / 4) for n in range(6)}
    assert prepare(folder / "data", folder / "out", "--processes", 2, "--split", "person", "--test-per-level", 3) == 0
    return folder / "data", folder / "out", middles


def test_crops_are_centred_masked_and_on_one_grid(cohort):
    _, out, middles = cohort
    samples = read_manifest(out / "manifest.csv")
    assert [(s.person, s.level) for s in samples] == [(f"sub-{n}", level) for n in range(6) for level in ("L1", "L2")]
    for sample in samples:
        image, label = nib.load(sample.image), nib.load(sample.label)
        assert image.shape == label.shape == SHAPE and nib.aff2axcodes(image.affine) == ("R", "A", "S")
        np.testing.assert_array_equal(image.affine, label.affine)
        values, inside = image.get_fdata(), label.get_fdata() > 0
        assert values.min() >= 0 and values.max() <= 1 and not values[~inside].any()
        # The ball's middle comes to lie in the box's middle, and still is where it was in the world.
        result = np.argwhere(inside).mean(axis=0)
        np.testing.assert_allclose(result, (np.array(SHAPE) - 1) / 2, atol=0.5)
        world = image.affine[:3, :3] @ result + image.affine[:3, 3]
        np.testing.assert_allclose(world, middles[sample.person][sample.level], atol=0.35)
        radius = 5 + int(sample.person[-1]) / 4
        assert sample.volume_ml == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.08)
        assert sample.volume_ml == pytest.approx(inside.sum() / 1000, abs=0.01)
        assert sample.whole == "yes" and "unlikely for a lumbar vertebra" in sample.notes
        assert values[inside].mean() == pytest.approx((460 + 200) / 1700, abs=0.06)


def test_labels_are_resampled_as_probabilities(tmp_path):
    affine = AFFINE @ np.diag([1.5, 1, 1.6, 1])
    ball_scan(tmp_path, "sub-a", levels=("L1",), affine=affine)
    assert prepare(tmp_path, tmp_path / "out") == 0
    result = nib.load(read_manifest(tmp_path / "out" / "manifest.csv")[0].label)
    inside, grid = np.asarray(result.dataobj) > 0, Grid(result.shape, result.affine)
    scan = nib.load(tmp_path / "sub-a_seg-vert_msk.nii.gz")
    mask, its_grid = np.asarray(scan.dataobj) > 0, Grid(scan.shape, scan.affine)
    np.testing.assert_array_equal(inside, resample(mask, its_grid, grid) > 0.5)
    assert np.count_nonzero(inside != resample(mask, its_grid, grid, order=0)) > 50, "nearest neighbours' steps"


def test_the_split_goes_to_training_and_to_evaluation(cohort):
    data, out, _ = cohort
    split = read_split(out / "split-person.json")
    assert len(split.test) == 6 and not {s.person for s in split.test} & {s.person for s in split.train}
    pairs = evaluation.read_pairs(out / "test-pairs-person.csv")
    assert len(pairs) == 2 * 3 * 2
    key = ("fixed", "moving", "level")
    places = [
        [tuple(str(Path(p[k]).resolve()) if k != "level" else p[k] for k in key) for p in each]
        for each in (pairs, evaluation.split_pairs(out / "split-person.json"))
    ]
    assert places[0] == places[1]
    assert prepare(data, out, "--split", "level", "--test-per-level", 3, "--seed", 8) == 0, (
        "another split of the same crops"
    )
    assert read_split(out / "split-level.json").seed == 8
    vertebrae = Vertebrae.from_samples(split.train)
    assert vertebrae.inshape == SHAPE and len(vertebrae.pairs()) == 12
    image, label = vertebrae.get(0)
    assert label.any() and image[label].min() > 0


def test_a_second_run_does_only_what_is_missing(cohort, tmp_path):
    data, out, _ = cohort
    before = {p: p.read_bytes() for p in out.rglob("*.nii.gz")}
    manifest = (out / "manifest.csv").read_text(encoding="utf-8")
    for path in before:
        os.utime(path, (1, 1))
    lost = sorted(before)[2]
    lost.unlink()
    (out / "crops" / ".0123abcd.half.nii.gz").write_bytes(b"half")
    assert prepare(data, out) == 0
    fresh = {p.name for p in before if p.stat().st_mtime > 1}
    assert fresh == {p.name for p in before if p.name.startswith(lost.name[:5])}, "the whole scan, and no other"
    assert {p: nib.load(p).get_fdata().tobytes() for p in before} == {
        p: nib.Nifti1Image.from_bytes(gzip.decompress(text)).get_fdata().tobytes() for p, text in before.items()
    }
    assert (out / "manifest.csv").read_text(encoding="utf-8") == manifest
    assert not list(out.rglob(".*"))


def test_a_scan_that_changed_is_done_again(tmp_path):
    ball_scan(tmp_path, "sub-a")
    assert prepare(tmp_path, tmp_path / "out") == 0
    ball_scan(tmp_path, "sub-a", radius=5)
    assert prepare(tmp_path, tmp_path / "out") == 0
    assert float(rows(tmp_path / "out")[0]["volume_ml"]) == pytest.approx(0.52, abs=0.05)


def test_one_process_and_two_make_the_same(cohort, tmp_path):
    data, out, _ = cohort
    assert prepare(data, tmp_path / "again") == 0
    assert rows(tmp_path / "again") == rows(out)
    for path in out.rglob("*.nii.gz"):
        np.testing.assert_array_equal(
            nib.load(path).get_fdata(), nib.load(tmp_path / "again" / path.relative_to(out)).get_fdata()
        )


@pytest.mark.slow
def test_a_killed_run_is_resumed_after_its_last_record(tmp_path):
    for n in range(12):
        ball_scan(tmp_path / "data", f"sub-{n:02d}")
    command = [sys.executable, str(ROOT / "scripts" / "prepare.py"), "--data", str(tmp_path / "data"), *OPTIONS]
    run = subprocess.Popen([*command, "--out", str(tmp_path / "out"), "--processes", "2"], stderr=subprocess.DEVNULL)
    records = tmp_path / "out" / "records"
    wait_until(lambda: list(records.glob("sub*.json")), 120)
    workers = [int(process) for process in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()]
    run.kill()
    assert run.wait() == -signal.SIGKILL
    wait_until(lambda: not any(map(is_running, workers)), 20)
    done = {path: path.stat().st_mtime_ns for path in records.glob("sub*.json")}
    assert 0 < len(done) < 12, "killed too late to mean anything"
    assert not (tmp_path / "out" / "manifest.csv").exists()
    assert prepare(tmp_path / "data", tmp_path / "out") == 0
    assert all(path.stat().st_mtime_ns == then for path, then in done.items()), "done again"
    assert len(usable(read_manifest(tmp_path / "out" / "manifest.csv"))) == 24
    assert not list((tmp_path / "out").rglob(".*"))


def test_every_fault_is_a_line_and_stops_nothing(tmp_path, capsys):
    data = tmp_path / "data"
    ball_scan(data, "sub-good")
    ball_scan(data, "sub-nolabel", label=False)
    ball_scan(data, "sub-noct", ct=False)
    ball_scan(data, "sub-shifted")
    shifted = nib.load(data / "sub-shifted_seg-vert_msk.nii.gz")
    moved = AFFINE.copy()
    moved[0, 3] += 30
    nib.save(nib.Nifti1Image(np.asarray(shifted.dataobj), moved), data / "sub-shifted_seg-vert_msk.nii.gz")
    ball_scan(data, "sub-smaller")
    smaller = nib.load(data / "sub-smaller_seg-vert_msk.nii.gz").slicer[:-2]
    nib.save(smaller, data / "sub-smaller_seg-vert_msk.nii.gz")
    ball_scan(data, "sub-short")
    path = data / "sub-short_ct.nii.gz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    ball_scan(data, "sub-thoracic", levels=("T3",))
    ball_scan(data, "sub-cut", start=2.0)
    ball_scan(data, "sub-big", levels=("L4",), radius=9.0)
    (data / "sub-text_ct.nii.gz").write_text("no image")
    (data / "sub-text_seg-vert_msk.nii.gz").write_text("none")
    assert prepare(data, tmp_path / "out", "--processes", 2) == 0
    printed = capsys.readouterr()
    result = {(row["person"][4:], row["level"]): row for row in rows(tmp_path / "out")}
    faults = {key[0]: row["notes"] for key, row in result.items() if not row["image"]}
    assert faults.keys() == {"nolabel", "noct", "shifted", "smaller", "short", "thoracic", "text"}
    for name, words in {
        "nolabel": "sub-nolabel_ct.nii.gz: has no label map",
        "noct": "sub-noct_seg-vert_msk.nii.gz: has no CT",
        "shifted": "its grid is not that of sub-shifted_ct.nii.gz (up to 30.0 mm apart; see --by-headers)",
        "smaller": "(28 x 28 x 48 and 30 x 28 x 48 voxels;",
        "short": "sub-short_ct.nii.gz: cannot be read",
        "thoracic": "holds none of L1, L2, L3, L4, L5 (its labels: 10)",
        "text": "sub-text_seg-vert_msk.nii.gz: ",
    }.items():
        assert words in faults[name]
        assert faults[name] in printed.err
    whole = {key: row["whole"] for key, row in result.items() if row["image"]}
    assert whole == {
        ("good", "L1"): "yes",
        ("good", "L2"): "yes",
        ("cut", "L1"): "cut",
        ("cut", "L2"): "yes",
        ("big", "L4"): "cut",
    }
    assert "reaches the edge" in result["cut", "L1"]["notes"] and "does not fit" in result["big", "L4"]["notes"]
    assert "5 vertebrae of 10 scans, 2 of them cut; 7 faults" in printed.out
    assert str(tmp_path) not in (tmp_path / "out" / "manifest.csv").read_text(encoding="utf-8"), "a manifest travels"


def test_labels_on_another_grid_are_taken_by_their_headers_if_asked(tmp_path):
    ball_scan(tmp_path, "sub-a")
    path = tmp_path / "sub-a_seg-vert_msk.nii.gz"
    nib.save(nib.load(path).slicer[:-2].as_reoriented(np.array([[1, -1], [0, 1], [2, 1]])), path)
    assert prepare(tmp_path, tmp_path / "one") == 0
    assert "its grid is not" in rows(tmp_path / "one")[0]["notes"]
    assert prepare(tmp_path, tmp_path / "two", "--by-headers") == 0
    assert [row["whole"] for row in rows(tmp_path / "two")] == ["yes", "yes"]


def test_a_label_without_a_ct_gets_simulated_intensities_if_asked(tmp_path):
    ball_scan(tmp_path, "sub-a", ct=False)
    for out in ("one", "two"):
        assert prepare(tmp_path, tmp_path / out, "--without-ct", "simulate") == 0
    first, second = (read_manifest(tmp_path / out / "manifest.csv") for out in ("one", "two"))
    assert [s.level for s in first] == ["L1", "L2"] and "intensities simulated" in first[0].notes
    values, inside = nib.load(first[0].image).get_fdata(), nib.load(first[0].label).get_fdata() > 0
    assert inside.sum() == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.08)
    assert values[inside].std() > 0.02 and not values[~inside].any()
    np.testing.assert_array_equal(values, nib.load(second[0].image).get_fdata())
    assert not np.array_equal(values, nib.load(first[1].image).get_fdata())


def test_a_list_with_one_file_a_level(tmp_path):
    ball_scan(tmp_path, "sub-a", levels=("L2",))
    label = tmp_path / "sub-a_seg-vert_msk.nii.gz"
    data = np.asarray(nib.load(label).dataobj)
    nib.save(nib.Nifti1Image((data > 0).astype(np.uint8), AFFINE), label)  # numbered 1, not 21
    (tmp_path / "l.csv").write_text("image,label,person,level\nsub-a_ct.nii.gz,sub-a_seg-vert_msk.nii.gz,ann,L2\n")
    assert prepare(tmp_path / "l.csv", tmp_path / "out") == 0
    (row,) = rows(tmp_path / "out")
    assert (row["person"], row["level"], row["whole"], row["image"]) == ("ann", "L2", "yes", "crops/ann_L2_ct.nii.gz")


def test_a_level_in_two_files_is_two_crops_and_other_levels_are_left(tmp_path):
    ball_scan(tmp_path / "data", "sub-a", levels=("L1", "L2"))
    whole = nib.load(tmp_path / "data" / "sub-a_seg-vert_msk.nii.gz")
    alone = (np.asarray(whole.dataobj) == VERSE["L1"]).astype(np.uint8)
    for level in ("L1", "T12"):
        nib.save(nib.Nifti1Image(alone, whole.affine), tmp_path / "data" / f"sub-a_{level}_seg.nii.gz")
    assert prepare(tmp_path / "data", tmp_path / "out", "--levels", "L1,L2") == 0
    samples = usable(read_manifest(tmp_path / "out" / "manifest.csv"))
    names = sorted((sample.level, Path(sample.image).name) for sample in samples)
    assert names == [
        ("L1", "sub-a_L1-whole_ct.nii.gz"),
        ("L1", "sub-a_L1_ct.nii.gz"),
        ("L2", "sub-a_L2_ct.nii.gz"),
    ]


def test_a_mask_in_pieces_is_noted(tmp_path):
    ball_scan(tmp_path, "sub-a", levels=("L1",))
    path = tmp_path / "sub-a_seg-vert_msk.nii.gz"
    data = np.asarray(nib.load(path).dataobj).copy()
    data[8:10, 6:8, 6:8] = VERSE["L1"]
    nib.save(nib.Nifti1Image(data, AFFINE), path)
    assert prepare(tmp_path, tmp_path / "out") == 0
    assert "in 2 pieces (0.01 ml apart from the largest)" in rows(tmp_path / "out")[0]["notes"]


@pytest.mark.parametrize(
    "more, words",
    [
        (["--levels", "L1,L9"], "level 'L9'"),
        (["--table", "mine"], "label table 'mine'"),
        (["--processes", 0], "--processes 0"),
        (["--seed", -1], "--seed -1"),
        (["--levels", "L1"], "made with another levels"),
        (["--split", "level", "--test-per-level", 5], "level L1: 6 people, but 5 are to be held out"),
        (["--data", "gone"], "gone: is not there"),
        (["--split", "side"], "--split"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line_and_exit_code_2(cohort, capsys, more, words):
    data, out, _ = cohort
    assert prepare(data, out, *more) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning: sub-")]
    assert len(errors) == 1 and errors[0].startswith("error: ") and words in errors[0]


def test_damaged_records_are_done_again_and_damaged_settings_refused(tmp_path, capsys):
    ball_scan(tmp_path, "sub-a")
    assert prepare(tmp_path, tmp_path / "out") == 0
    (tmp_path / "out" / "records" / "sub-a.json").write_text("{")
    assert prepare(tmp_path, tmp_path / "out") == 0
    assert json.loads((tmp_path / "out" / "records" / "sub-a.json").read_text())["samples"]
    (tmp_path / "out" / "prepare.json").write_text("[")
    assert prepare(tmp_path, tmp_path / "out") == 2
    assert "prepare.json: cannot be read as a recipe" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not SPINES.exists(), reason="the real scans are not here")
def test_the_real_scans(tmp_path):
    (tmp_path / "data").mkdir()
    for person in ("sub-verse004", "sub-verse005", "sub-verse010", "sub-verse012", "sub-ct"):
        for path in SPINES.glob(f"{person}_*"):
            (tmp_path / "data" / path.name).symlink_to(path.resolve())
    command = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--without-ct", "simulate"]
    assert main(command) == 0
    result = {(row["person"], row["level"]): row["whole"] for row in rows(tmp_path / "out")}
    for person in ("sub-verse004", "sub-verse005", "sub-verse010"):
        assert {level: result.pop((person, level)) for level in ("L1", "L2", "L3", "L4", "L5")} == dict.fromkeys(
            ("L1", "L2", "L3", "L4", "L5"), "yes"
        )
    assert result == {
        ("sub-verse012", "L1"): "yes",
        ("sub-verse012", "L2"): "cut",
        ("sub-verse012", "L3"): "cut",
        ("sub-ct", "L2"): "cut",
        ("sub-ct", "L3"): "yes",
        ("sub-ct", "L4"): "cut",
    }
    volumes = [float(row["volume_ml"]) for row in rows(tmp_path / "out") if row["whole"] == "yes"]
    assert min(volumes) > 37 and max(volumes) < 80
