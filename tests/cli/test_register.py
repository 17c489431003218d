"""The command line of register.py: its outputs, options, warnings, and Ctrl-C."""

import itertools
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from acsgreg_tf.anatomy.plausibility import Flag
from acsgreg_tf.cli.register import _Progress, main
from acsgreg_tf.io.transforms import read_transform
from acsgreg_tf.registration import doubts, engine
from acsgreg_tf.registration.clock import Clock
from acsgreg_tf.registration.refine.objective import Objective
from tests.cli.cases import FIXED, MOVING, crops, fails, read_metrics, scans, write_cases
from tests.registration.cases import NUMBER, interrupt_refinement

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "register.py"


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return write_cases(tmp_path_factory.mktemp("cases"))


def test_every_output_of_one_level(cases, tmp_path, capsys):
    out = {
        name: tmp_path / f"{name}" for name in ("moved.nii.gz", "seg.mha", "warp.h5", "inverse.nii.gz", "affine.tfm")
    }
    code = main(
        scans(
            cases,
            *("--level", "L3", "--moved-seg", out["seg.mha"], "--warp", out["warp.h5"]),
            *("--inverse-warp", out["inverse.nii.gz"], "--affine", out["affine.tfm"]),
            *("--metrics", tmp_path / "m.json", "--figure", tmp_path / "f.png"),
            moved=out["moved.nii.gz"],
        )
    )
    shown = capsys.readouterr()
    assert code == 0 and shown.err == ""
    lines = shown.out.splitlines()
    assert lines[0] == "L3: moving_ct.nii.gz to fixed_ct.nii.gz"
    assert lines[1].split() == ["before", "affine", "deformable"]
    *names, seconds = [line.split()[0] for line in lines[2:]]
    assert names == ["LNCC", "NCC", "Dice", "ASSD", "folds", "refined"]
    assert lines[-1] == f"{seconds} s"
    assert len(list(tmp_path.iterdir())) == 7
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")

    fixed, moved = nib.load(cases["fixed"]), nib.load(out["moved.nii.gz"])
    np.testing.assert_allclose(moved.affine, fixed.affine, atol=1e-4)
    assert moved.shape == fixed.shape
    # SimpleITK makes the same of the files that were written, and the measures say so.
    transform = sitk.ReadTransform(str(out["warp.h5"]))
    itk = sitk.Resample(
        sitk.ReadImage(cases["moving"]), sitk.ReadImage(cases["fixed"]), transform, sitk.sitkLinear, -1024.0
    )
    assert np.abs(sitk.GetArrayFromImage(itk).T - moved.get_fdata()).max() < 1
    seg = sitk.GetArrayFromImage(sitk.ReadImage(str(out["seg.mha"]))).T
    assert set(np.unique(seg)) == {0, NUMBER}
    target = np.asarray(nib.load(cases["fixed_seg"]).dataobj) == NUMBER
    measures = read_metrics(tmp_path / "m.json")
    dice = 2 * (target & (seg > 0)).sum() / (target.sum() + (seg > 0).sum())
    assert measures["dice_on_fixed_grid"] == pytest.approx(dice, abs=1e-6)
    assert measures["level"] == "L3" and measures["label"] == {"fixed": NUMBER, "moving": NUMBER}

    inverse = read_transform(out["inverse.nii.gz"])
    points = read_transform(out["warp.h5"]).apply(np.add(FIXED, np.eye(3) * 4))
    assert np.linalg.norm(inverse.apply(points) - np.add(FIXED, np.eye(3) * 4), axis=1).max() < 0.2
    assert inverse.grid.shape == nib.load(cases["moving"]).shape
    affine = read_transform(out["affine.tfm"])
    assert np.linalg.norm(affine.apply(FIXED) - MOVING) < 6


@pytest.mark.parametrize("warp", ["warp.npz", "warp.nii.gz"])
def test_masked_crops_without_labels(cases, tmp_path, capsys, warp):
    assert main(crops(cases, "--warp", tmp_path / warp, moved=tmp_path / "moved.nrrd")) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0] == "moving_crop.nii.gz to fixed_crop.nii.gz"
    assert "Dice" not in shown.out and shown.err == ""
    fixed = nib.load(cases["fixed_crop"])
    assert read_transform(tmp_path / warp).grid.shape == fixed.shape
    assert sitk.ReadImage(str(tmp_path / "moved.nrrd")).GetSize() == fixed.shape


def test_all_levels_that_both_scans_hold(cases, tmp_path, capsys):
    options = ("--levels", "all", "--metrics", tmp_path / "{level}.json")
    assert main(scans(cases, *options, moved=tmp_path / "moved.nii.gz")) == 0
    names = ["L2.json", "L3.json", "moved_L2.nii.gz", "moved_L3.nii.gz"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for level, number in (("L2", 21), ("L3", 22)):
        measures = read_metrics(tmp_path / f"{level}.json")
        assert measures["level"] == level and measures["label"] == {"fixed": number, "moving": number}
    shown = capsys.readouterr().out
    assert shown.index("L2: moving") < shown.index("L3: moving")


def test_all_levels_together(cases, tmp_path, capsys):
    """A table over the levels, one label map with all of them, and one page."""
    options = ("--levels", "all", "--moved-seg", tmp_path / "seg.nii.gz", "--report", tmp_path / "page.html")
    assert main(scans(cases, *options, moved=tmp_path / "moved.nii.gz")) == 0
    table = capsys.readouterr().out.splitlines()[-3:]
    assert table[0].split()[:3] == ["Dice", "ASSD", "(mm)"] and [line.split()[0] for line in table[1:]] == ["L2", "L3"]
    merged, *each = (nib.load(tmp_path / f"seg_{level}.nii.gz").get_fdata() for level in ("all", "L2", "L3"))
    assert set(np.unique(merged)) == {0, 21, 22}
    np.testing.assert_array_equal(merged > 0, (each[0] > 0) | (each[1] > 0))
    np.testing.assert_array_equal(merged[each[0] > 0], 21)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "data-1" in page and "acsgreg register --fixed" in page and page.count('class="tab"') == 2


def test_outside_of_the_moving_ct_is_air(cases, tmp_path):
    """A CT gets -1024 HU there; a crop in [0, 1] keeps its empty background."""
    image = nib.load(cases["moving"])
    assert image.get_fdata().min() < 0
    for name, make, outside in (("ct", scans, -1024), ("crop", crops, 0)):
        moved = tmp_path / f"{name}.nii.gz"
        options = ("--level", "L3") if make is scans else ()
        assert main(make(cases, *options, moved=moved)) == 0
        data = nib.load(moved).get_fdata()
        assert data.min() == outside and (data == outside).any()


def test_some_levels_of_a_table_of_ones_own(cases, tmp_path):
    options = ("--levels", "V", "--table", "U=21,V=22")
    assert main(scans(cases, *options, moved=tmp_path / "moved.nii.gz")) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["moved_V.nii.gz"]


def renumbered(cases, path):
    """The moving label map as TotalSegmentator numbers it."""
    image = nib.load(cases["moving_seg"])
    data = np.asarray(image.dataobj)
    nib.save(nib.Nifti1Image(np.select([data == 22, data == 21], [29, 30]).astype(np.int16), image.affine), path)
    return {**cases, "moving_seg": str(path)}


def test_labels_of_two_tools(cases, tmp_path, capsys):
    """One map numbers L3 as VerSe does, the other as TotalSegmentator: by level, all levels, or number and number."""
    moved, other = tmp_path / "moved.nii.gz", renumbered(cases, tmp_path / "seg.nii.gz")
    assert main(scans(cases, "--level", "L3", moved=moved)) == 0
    expected = np.asarray(nib.load(moved).dataobj)
    for options in (("--level", "L3", "--moving-table", "totalsegmentator"), ("--label", 22, "--moving-label", 29)):
        assert main(scans(other, *options, "--metrics", tmp_path / "m.json", moved=moved)) == 0
        np.testing.assert_array_equal(nib.load(moved).dataobj, expected)
        measures = read_metrics(tmp_path / "m.json")
        assert measures["label"] == {"fixed": 22, "moving": 29} and "dice" in measures
    options = ("--levels", "all", "--moving-table", "totalsegmentator")
    assert main(scans(other, *options, moved=tmp_path / "{level}.nii.gz")) == 0
    np.testing.assert_array_equal(nib.load(tmp_path / "L3.nii.gz").dataobj, expected)
    assert (tmp_path / "L2.nii.gz").exists()
    capsys.readouterr()
    refusals = {
        ("--label", 22): f"{other['moving_seg']}: does not hold label 22",
        ("--level", "L3", "--moving-label", 29): "--moving-label 29: goes with",
        ("--label", 22, "--moving-table", "verse"): "--moving-table verse: goes with a level",
        ("--level", "L3", "--moving-table", "L2=30"): "level 'L3': not in the label table",
    }
    for options, words in refusals.items():
        assert words in fails(scans(other, *options, moved=moved), capsys)


def test_warnings_are_one_line_and_flagged(cases, tmp_path, capsys):
    ct, seg = (nib.load(cases[name]) for name in ("fixed", "fixed_seg"))
    window = (slice(None), slice(0, 18))
    short = [tmp_path / "ct.nii.gz", tmp_path / "seg.nii.gz"]
    for image, path in zip((ct, seg), short, strict=True):
        nib.save(image.slicer[window], path)
    options = [
        *crops(cases, "--fixed-seg", short[1], fixed=short[0], moved=tmp_path / "moved.nii"),
        "--label",
        str(NUMBER),
    ]
    assert main([*options, "--metrics", str(tmp_path / "m.json")]) == 0
    shown = capsys.readouterr()
    assert shown.err.startswith(f"warning: {short[1]}: label 22: reaches the edge of {short[0]}")
    assert shown.err.count("\n") == 1
    assert "not whole" not in shown.out  # once is enough
    assert read_metrics(tmp_path / "m.json")["cut"] == {"fixed": True, "moving": False}


def test_sform_and_qform_that_disagree(cases, tmp_path, capsys):
    """The documented choice: the sform counts, and a warning says so."""
    image = nib.load(cases["fixed_crop"])
    image.set_qform(np.diag([2.0, 2, 2, 1]), code=1)
    image.set_sform(image.affine, code=1)
    nib.save(image, tmp_path / "two.nii.gz")
    moved = tmp_path / "moved.nii.gz"
    assert main(crops(cases, fixed=tmp_path / "two.nii.gz", moved=moved)) == 0
    warning = capsys.readouterr().err
    assert warning.startswith(f"warning: {tmp_path / 'two.nii.gz'}: sform and qform disagree")
    assert warning.count("\n") == 1
    np.testing.assert_allclose(nib.load(moved).affine, nib.load(cases["fixed_crop"]).affine, atol=1e-4)


# refinement


@pytest.fixture
def small_box(monkeypatch):
    """Without a network, the box that the made-up vertebra just fits."""
    monkeypatch.setattr("acsgreg_tf.registration.pipeline.NETWORK_SHAPE", (24, 24, 16))


def without_network(cases, *options, moved):
    arguments = scans(cases, *options, moved=moved)
    arguments[arguments.index(cases["model"])] = "none"
    return arguments


@pytest.mark.trains
def test_refinement_without_a_network(cases, tmp_path, capsys, small_box):
    options = ("--level", "L3", "--refine", 10, "--smoothness", 2, "--metrics", tmp_path / "m.json")
    assert main(without_network(cases, *options, "--warp", tmp_path / "warp.h5", moved=tmp_path / "moved.nii.gz")) == 0
    shown = capsys.readouterr()
    assert shown.err == "" and "refined in 10 steps: objective " in shown.out
    measures = read_metrics(tmp_path / "m.json")
    assert measures["model"] == "none" and measures["refinement"]["smoothness"] == 2
    assert measures["dice"]["deformable"] > 0.9 and measures["folds"]["count"] == 0
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.trains
def test_ctrl_c_while_refining_writes_the_best_so_far(cases, tmp_path, capsys, small_box, monkeypatch):
    interrupt_refinement(monkeypatch, after=4)
    options = ("--level", "L3", "--refine", 10, "--metrics", tmp_path / "m.json", "--figure", tmp_path / "f.png")
    options += ("--moved-seg", tmp_path / "seg.nii.gz", "--inverse-warp", tmp_path / "inverse.nii.gz")
    assert main(without_network(cases, *options, moved=tmp_path / "moved.nii.gz")) == 130
    assert capsys.readouterr().err.splitlines() == ["stopped: the best so far is written", "stopped"]
    assert sorted(path.name.split(".")[0] for path in tmp_path.iterdir()) == ["f", "inverse", "m", "moved", "seg"]
    measures = read_metrics(tmp_path / "m.json")
    assert measures["refinement"]["stopped"] and measures["refinement"]["steps"] == 4
    assert nib.load(tmp_path / "moved.nii.gz").get_fdata().any()
    assert read_transform(tmp_path / "inverse.nii.gz").grid.shape == nib.load(cases["moving"]).shape


def signal_in_refinement(monkeypatch, after):
    """Send this process Ctrl-C's signal once, at the evaluation of the objective with that number, in any thread."""
    evaluate, calls = Objective.__call__, itertools.count()

    def signalled(self, *arguments):
        if next(calls) == after:
            os.kill(os.getpid(), signal.SIGINT)
        return evaluate(self, *arguments)

    monkeypatch.setattr(Objective, "__call__", signalled)


@pytest.mark.trains
def test_ctrl_c_while_levels_are_refined_side_by_side(cases, tmp_path, capsys, small_box, monkeypatch, ctrl_c):
    """The first one's best so far is written; the second, which is refined beside it, is not."""
    monkeypatch.setattr(engine, "threads", lambda: 2)
    signal_in_refinement(monkeypatch, after=8)
    options = ("--levels", "L3,L2", "--refine", 200, "--metrics", tmp_path / "m.json")
    assert main(without_network(cases, *options, moved=tmp_path / "moved.nii.gz")) == 130
    shown = capsys.readouterr()
    assert shown.err.splitlines() == ["stopped: the best so far is written", "stopped"]
    (level,) = [line.split(":")[0] for line in shown.out.splitlines() if "moving_ct" in line]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"m_{level}.json", f"moved_{level}.nii.gz"]
    measures = read_metrics(tmp_path / f"m_{level}.json")
    assert measures["refinement"]["stopped"] and measures["refinement"]["steps"] < 200


@pytest.mark.trains
def test_ctrl_c_while_levels_are_read_side_by_side(cases, tmp_path, capsys, small_box, monkeypatch, ctrl_c):
    """Nothing to write yet: both end, and none is written."""
    monkeypatch.setattr(engine, "threads", lambda: 2)
    begin, stop, stopped = Clock.__call__, _Progress.stop, threading.Event()

    def signalled(self, step):
        if step == "refining":
            os.kill(os.getpid(), signal.SIGINT)
            assert stopped.wait(timeout=60)
        return begin(self, step)

    def stop_and_tell(self):
        stop(self)
        stopped.set()

    monkeypatch.setattr(_Progress, "stop", stop_and_tell)
    monkeypatch.setattr(Clock, "__call__", signalled)
    arguments = without_network(cases, "--levels", "L3,L2", "--refine", 10, moved=tmp_path / "moved.nii.gz")
    assert main(arguments) == 130
    assert capsys.readouterr().err == "stopped\n" and not any(tmp_path.iterdir())


@pytest.mark.trains
def test_levels_side_by_side_are_those_one_after_another(cases, tmp_path, capsys, small_box, monkeypatch):
    titles, warned = [], []
    for threads in (1, 2):
        monkeypatch.setattr(engine, "threads", lambda threads=threads: threads)
        options = ("--levels", "all", "--refine", 4, "--warp", tmp_path / f"{threads}.h5")
        assert main(without_network(cases, *options, moved=tmp_path / "moved.nii.gz")) == 0
        shown = capsys.readouterr()
        titles.append([line for line in shown.out.splitlines() if ": moving_ct" in line])
        warned.append(shown.err)
    assert titles[0] == titles[1] and len(titles[0]) == 2 and warned[0] == warned[1]
    for one in tmp_path.glob("1_*.h5"):
        first, second = (read_transform(path) for path in (one, tmp_path / one.name.replace("1_", "2_", 1)))
        points = np.random.default_rng(0).uniform(-10, 10, (100, 3))
        np.testing.assert_array_equal(first.apply(points), second.apply(points))


def test_a_transform_that_does_not_deform_ends_with_its_affine(cases, tmp_path, capsys):
    for kind, stages in (("rigid", ["before", "affine"]), ("deformable", ["before", "affine", "deformable"])):
        options = ("--level", "L3", "--transform", kind)
        assert main(scans(cases, *options, moved=tmp_path / "moved.nii.gz")) == 0
        table = capsys.readouterr().out.splitlines()[1:]
        assert table[0].split() == stages and len(table[3].split()) == 1 + len(stages)


def test_a_doubt_of_each_level_is_shown_and_what_holds_for_the_scan_once(cases, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("acsgreg_tf.registration.pipeline.flags_after", lambda *given: [Flag("odd", "it is odd")])
    data = nib.load(cases["fixed_seg"]).get_fdata().astype(np.uint8)
    data[0, 0, :3] = 25
    nib.save(nib.Nifti1Image(data, nib.load(cases["fixed_seg"]).affine), tmp_path / "sixth.nii.gz")
    options = ("--levels", "L2,L3", "--transform", "rigid", "--fixed-seg", tmp_path / "sixth.nii.gz")
    assert main(scans(cases, *options, moved=tmp_path / "moved.nii.gz")) == 0
    shown = capsys.readouterr().err
    assert shown.count("it is odd") == 2 and shown.count("holds a sixth lumbar vertebra") == 1


@pytest.mark.trains
def test_the_affine_alone_has_no_objective(cases, tmp_path, capsys, small_box):
    options = ("--level", "L3", "--metrics", tmp_path / "m.json", "--refine", "0")
    assert main(without_network(cases, *options, moved=tmp_path / "moved.nii.gz")) == 0
    shown = capsys.readouterr().out
    assert "the affine alone\n" in shown and "nan" not in shown
    assert "refinement" not in read_metrics(tmp_path / "m.json")


def test_the_networks_own_affine(cases, tmp_path, capsys):
    """It is off here; fitted to the surfaces it is not, and --no-fit-affine says which of the two is written."""
    result = {}
    for name, options in {"fitted": (), "own": ("--no-fit-affine",)}.items():
        metrics, affine = tmp_path / f"{name}.json", tmp_path / f"{name}.npy"
        options += ("--level", "L3", "--metrics", metrics, "--affine", affine)
        assert main(scans(cases, *options, moved=tmp_path / "moved.nii.gz")) == 0
        result[name] = read_metrics(metrics), np.load(affine)
    assert result["own"][0]["affine_fit_mm"] is None and result["fitted"][0]["affine_fit_mm"] > 0.2
    assert result["own"][0]["dice"]["affine"] < result["fitted"][0]["dice"]["affine"] - 0.01
    assert not np.allclose(result["own"][1], result["fitted"][1], atol=1e-2)
    arguments = without_network(cases, "--level", "L3", "--no-fit-affine", moved=tmp_path / "none.nii.gz")
    assert "--no-fit-affine: goes with a network" in fails(arguments, capsys)


@pytest.mark.parametrize("transform", ["rigid", "similarity", "affine"])
def test_a_transform_without_a_deformation(cases, tmp_path, transform):
    out = {"--warp": tmp_path / "warp.h5", "--metrics": tmp_path / "m.json", "--inverse-warp": tmp_path / "inverse.h5"}
    options = ("--level", "L3", "--transform", transform, *(part for pair in out.items() for part in pair))
    assert main(scans(cases, *options, moved=tmp_path / "moved.nii.gz")) == 0
    summary = read_metrics(out["--metrics"])
    assert summary["transform"] == transform and summary["folds"]["count"] == 0 and summary["affine_fit_mm"] > 0
    stretches = np.array(summary["affine"]["stretches"])
    if transform == "rigid":
        np.testing.assert_allclose(stretches, 1, atol=1e-6)
    if transform == "similarity":
        np.testing.assert_allclose(stretches, stretches.mean(), rtol=1e-6)
    assert (np.ptp(stretches) > 1e-3) == (transform == "affine")
    written = sitk.CompositeTransform(sitk.ReadTransform(str(out["--warp"])))
    point, back = (1.0, 2.0, 3.0), sitk.ReadTransform(str(out["--inverse-warp"]))
    np.testing.assert_allclose(back.TransformPoint(written.TransformPoint(point)), point, atol=1e-4)


def test_refinement_goes_with_a_deformation(cases, tmp_path, capsys):
    arguments = scans(cases, "--level", "L3", "--transform", "rigid", "--refine", "5", moved=tmp_path / "m.nii.gz")
    assert "--refine 5: goes with transform deformable, not rigid" in fails(arguments, capsys)


def test_strict_doubts_end_with_3_and_their_outputs(cases, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(doubts, "LEAST_DICE", 0.9999)
    out = tmp_path / "moved.nii.gz", tmp_path / "m.json"
    arguments = scans(cases, "--level", "L3", "--metrics", out[1], moved=out[0])
    assert main(arguments) == 0
    assert main([*arguments, "--strict"]) == 3
    assert capsys.readouterr().err.count("warning: Dice 0.") == 2
    (flag,) = read_metrics(out[1])["flags"]
    assert flag["name"] == "low_dice" and "0.9999" in flag["text"] and out[0].exists()


def test_what_is_to_be_ignored_is_read_and_counts(cases, tmp_path, capsys):
    """The lower half of the moving scan is ignored: the affine is fitted to what is left."""
    label = nib.load(cases["moving_seg"])
    half = np.zeros(label.shape, np.uint8)
    half[: label.shape[0] // 2] = 1
    nib.save(nib.Nifti1Image(half, label.affine), tmp_path / "ignore.nii.gz")
    affines = []
    for options in ((), ("--moving-ignore", tmp_path / "ignore.nii.gz")):
        options += ("--level", "L3", "--transform", "affine", "--affine", tmp_path / "a.npy")
        assert main(scans(cases, *options, moved=tmp_path / "moved.nii.gz")) == 0
        affines.append(np.load(tmp_path / "a.npy"))
    assert not np.allclose(*affines, atol=1e-3)
    assert "% of one vertebra can be compared; the rest is cut off or hidden" in capsys.readouterr().err
    missing = scans(cases, "--level", "L3", "--fixed-ignore", tmp_path / "no.nii.gz", moved=tmp_path / "moved.nii.gz")
    assert "no.nii.gz: no such file" in fails(missing, capsys)


# as a command


def test_help_starts_without_tensorflow():
    heavy = ("keras", "tensorflow", "matplotlib")
    code = (
        "import sys; from acsgreg_tf.cli.register import main\n"
        f"try: main(['--help'])\nfinally: print([name for name in {heavy} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=SCRIPT.parent.parent)
    assert result.stdout.endswith("[]\n") and result.returncode == 0
    options = (
        "--fixed",
        "--moving",
        "--moved",
        "--fixed-seg",
        "--levels",
        "--inverse-warp",
        "--gpu",
        "--refine",
        "--smoothness",
    )
    for option in options:
        assert option in result.stdout


def test_one_file_on_both_sides_is_warned_of(cases, tmp_path, capsys):
    one = cases["fixed_crop"]
    assert main(crops(cases, moving=one, moved=tmp_path / "moved.nii.gz")) == 0
    assert f"warning: {one}: is both --fixed and --moving" in capsys.readouterr().err.splitlines()


@pytest.mark.slow
def test_ctrl_c_while_a_command_is_imported_is_one_line(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.abc, os, signal, sys\n"
        "class Interrupt(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'acsgreg_tf.cli.common':\n"
        "            signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n",
        encoding="utf-8",
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for script in sorted(SCRIPT.parent.glob("*.py")):
        result = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, env=environment)
        assert (result.stderr, result.returncode) == ("stopped\n", -signal.SIGINT), script


@pytest.mark.slow
def test_the_script_from_another_folder_prints_nothing_else(cases, tmp_path):
    command = [sys.executable, SCRIPT, *crops(cases, "-g", "-1", moved=tmp_path / "moved.nii.gz")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert result.stderr == "" and result.returncode == 0
    assert result.stdout.startswith("moving_crop.nii.gz to fixed_crop.nii.gz\n")
    assert [path.name for path in tmp_path.iterdir()] == ["moved.nii.gz"]


@pytest.mark.parametrize("backend", ["nonesuch", "torch"])
def test_a_backend_that_is_not_there_is_one_line(cases, tmp_path, backend):
    # An empty place of a module stands for one that is not installed.
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n", encoding="utf-8")
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, SCRIPT, *crops(cases, moved=tmp_path / "moved.nii.gz"), "--engine", "keras"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 2 and len(result.stderr.strip().splitlines()) == 1
    assert result.stderr.startswith(f"error: KERAS_BACKEND={backend}: ") and "torch" in result.stderr
