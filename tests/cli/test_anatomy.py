"""register.py with maps of parts and landmarks."""

import numpy as np
import pytest

from acsgreg_tf.anatomy.parts import compare_parts, parts_of_vertebra
from acsgreg_tf.cli.register import main
from acsgreg_tf.io.images import Image, read_label
from acsgreg_tf.io.transforms import read_transform
from tests.cli.cases import FIXED, MOVING, fails, read_metrics, scans, write_cases
from tests.registration.cases import NUMBER, save


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    cases = write_cases(folder)
    for name, place in (("fixed", FIXED), ("moving", MOVING)):
        label = read_label(cases[f"{name}_seg"])
        front = label.grid.points()[..., 1] > place[1]
        parts = Image(np.where(label.data > 0, np.where(front, 50, 42), 0).astype(np.int16), label.grid)
        cases[f"{name}_parts"] = save(parts, folder / f"{name}_parts.nii.gz")
        (folder / f"{name}.csv").write_text(f"{place[0]},{place[1]},{place[2]}\n{place[0]},{place[1] + 4},{place[2]}\n")
        cases[f"{name}_points"] = str(folder / f"{name}.csv")
    return cases


def options(cases, *kinds):
    return [text for kind in kinds for s in ("fixed", "moving") for text in (f"--{s}-{kind}", cases[f"{s}_{kind}"])]


def test_parts_and_landmarks_are_in_the_metrics_and_on_the_terminal(cases, tmp_path, capsys):
    more = ("--level", "L3", "--metrics", tmp_path / "m.json", "--warp", tmp_path / "warp.h5")
    assert main(scans(cases, *more, *options(cases, "parts", "points"), moved=tmp_path / "moved.nii.gz")) == 0
    shown = capsys.readouterr().out
    measures = read_metrics(tmp_path / "m.json")
    warp = read_transform(tmp_path / "warp.h5")
    sides = [
        parts_of_vertebra(read_label(cases[f"{s}_parts"]), read_label(cases[f"{s}_seg"]), NUMBER)
        for s in ("fixed", "moving")
    ]
    expected = compare_parts(*sides, warp)
    assert set(expected) == {"spinous", "body"} and set(measures["parts"]["deformable"]) == {*expected, "mean"}
    for name, part in expected.items():
        assert measures["parts"]["deformable"][name] == pytest.approx(part, abs=1e-3)
    errors = np.linalg.norm(warp.apply([FIXED, np.add(FIXED, (0, 4, 0))]) - [MOVING, np.add(MOVING, (0, 4, 0))], axis=1)
    assert measures["landmarks"]["each_mm"] == pytest.approx(errors, abs=1e-3) and measures["landmarks"]["count"] == 2
    assert measures["landmarks"]["tre_mm"]["deformable"] == pytest.approx(errors.mean(), abs=1e-3)
    assert "spinous" in shown and "2 landmarks" in shown


@pytest.mark.trains
def test_a_refinement_sees_the_parts_unless_they_weigh_nothing(cases, tmp_path):
    terms = []
    for weight in ((), ("--parts-weight", "0")):
        more = ("--level", "L3", "--refine", "2", "--metrics", tmp_path / "m.json", *options(cases, "parts"), *weight)
        assert main(scans(cases, *more, moved=tmp_path / "moved.nii.gz")) == 0
        measures = read_metrics(tmp_path / "m.json")
        terms.append("parts" in measures["refinement"]["terms"])
        assert measures["parts"]["deformable"]["mean"]["dice"] > 0.5
    assert terms == [True, False]


@pytest.mark.parametrize(
    "more, words",
    [
        (["--refine", "2", "--parts-weight", "1"], "--parts-weight 1: needs --fixed-parts and --moving-parts"),
        (
            ["--fixed-parts", "{fixed_parts}", "--moving-parts", "{moving_parts}", "--parts-weight", "1"],
            "--parts-weight 1: goes with --refine",
        ),
        (
            ["--refine", "2", "--fixed-parts", "{fixed_parts}", "--moving-parts", "{moving_parts}"]
            + ["--parts-weight", "-1"],
            "--parts-weight -1: must be a number",
        ),
        (["--fixed-parts", "{fixed_parts}"], "--fixed-parts and --moving-parts: give both"),
        (["--moving-points", "{moving_points}"], "--fixed-points and --moving-points: give both"),
        (["--fixed-points", "gone.csv", "--moving-points", "{moving_points}"], "gone.csv: no such file"),
        (["--fixed-parts", "{fixed_parts}", "--moving-parts", "gone.nii.gz"], "gone.nii.gz: no such file"),
        (["--fixed-parts", "{fixed_parts}", "--moving-parts", "{moved}"], "would replace an input"),
    ],
)
def test_faults_come_before_the_work(cases, tmp_path, capsys, more, words):
    moved = tmp_path / "moved.nii.gz"
    more = [text.format(moved=moved, **cases) for text in more]
    if "would replace" in words:
        moved.touch()
    assert words in fails(scans(cases, "--level", "L3", *more, moved=moved), capsys)


def test_landmarks_are_those_of_one_level(cases, tmp_path, capsys):
    more = ("--levels", "L3", *options(cases, "points"))
    assert "landmarks are those of one vertebra" in fails(scans(cases, *more, moved=tmp_path / "m.nii.gz"), capsys)
