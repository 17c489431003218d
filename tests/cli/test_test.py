"""The command line of test.py: the table, the JSON, several methods beside each other, and faults in one line."""

import csv
import json

import pytest

from acsgreg_tf.cli.test import main
from acsgreg_tf.cohort.manifest import Sample, write_manifest
from acsgreg_tf.cohort.split import make_split, write_split
from acsgreg_tf.evaluation.peers import PEERS
from tests.evaluation.cases import ShiftPeer
from tests.registration.cases import grid_about, save, save_network, scan


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    for name, place in {"a": (12.5, -30.0, 55.5), "b": (-200.0, 40.5, 7.0)}.items():
        ct, label = scan(grid_about(place, (40, 40, 40), (1, 1, 1)), place)
        save(ct, folder / f"{name}_ct.nii.gz")
        save(label, folder / f"{name}_seg.nii.gz")
    head = "fixed,fixed_seg,moving,moving_seg,level\n"
    (folder / "pairs.csv").write_text(f"{head}a_ct.nii.gz,a_seg.nii.gz,b_ct.nii.gz,b_seg.nii.gz,L3\n")
    (folder / "bad.csv").write_text(f"{head}a_ct.nii.gz,gone.nii.gz,b_ct.nii.gz,b_seg.nii.gz,L3\n")
    save_network(folder / "small.h5")
    return folder


def arguments(cases, out, *more, pairs="pairs.csv"):
    return ["--pairs", str(cases / pairs), "--model", str(cases / "small.h5"), "--out", str(out), *map(str, more)]


def test_table_json_and_a_second_run(cases, tmp_path, capsys):
    out = tmp_path / "out.csv"
    assert main(arguments(cases, out, "--json", tmp_path / "out.json")) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("### small") and "| L3 | 1 |" in shown and "| all | 1 |" in shown and "Methods" not in shown
    saved = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    with open(out, newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert saved["methods"]["small"]["L3"]["dice_deformable"]["mean"] == pytest.approx(float(row["dice_deformable"]))
    assert saved["methods"]["small"]["L3"]["dice_deformable"]["std"] is None  # one pair
    before = out.stat().st_mtime_ns
    assert main(arguments(cases, out)) == 0
    assert out.stat().st_mtime_ns == before and capsys.readouterr().out == shown


def test_the_networks_own_affine_is_a_method_of_its_own(cases, tmp_path, capsys):
    out = tmp_path / "out.csv"
    assert all(main(arguments(cases, out, "--refine", "0", *more)) == 0 for more in ((), ("--no-fit-affine",)))
    with open(out, newline="", encoding="utf-8") as file:
        saved = {row["method"]: row for row in csv.DictReader(file)}
    assert set(saved) == {"small refine 0", "small refine 0 fit_affine False"}
    own, fitted = (float(saved[f"small refine 0{more}"]["dice_deformable"]) for more in (" fit_affine False", ""))
    assert abs(own - fitted) > 1e-3


@pytest.mark.trains
def test_several_numbers_of_refinement_steps_and_no_network(cases, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("acsgreg_tf.registration.pipeline.NETWORK_SHAPE", (24, 24, 16))
    out = tmp_path / "out.csv"
    options = ["--pairs", str(cases / "pairs.csv"), "--out", str(out), "--model", "none", "--refine", "0", "6"]
    assert main(options) == 0
    shown = capsys.readouterr().out
    assert "### none refine 0" in shown and "### none refine 6" in shown and "Methods, all pairs" in shown
    with open(out, newline="", encoding="utf-8") as file:
        alone, more = csv.DictReader(file)
    assert float(more["dice_deformable"]) >= float(alone["dice_deformable"]) > 0.8 and float(more["folds_count"]) == 0
    assert [row["made_by"].split(", ")[::2] for row in (alone, more)] == [
        ["no network", "refine=0"],
        ["no network", "refine=6"],
    ]
    assert main(options) == 0 and capsys.readouterr().out == shown  # nothing is done again


def test_another_tool_beside_the_network(cases, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(PEERS, "tool", ShiftPeer("tool", (40, 40, 40), 1.0))
    options = ("--method", "network", "tool", "--tables", tmp_path / "paper")
    assert main(arguments(cases, tmp_path / "out.csv", *options)) == 0
    text, files = capsys.readouterr().out.split("\nfor a paper: ")
    assert len(files.split(", ")) == len(list((tmp_path / "paper").iterdir())) == 5
    last = text.split("### ")[-1].strip().splitlines()
    assert last[0] == "Methods, all pairs" and [line.split(" | ")[0] for line in last[4:]] == ["| small", "| tool"]


def test_costs_of_a_tool_in_a_process_of_its_own(cases, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(PEERS, "tool", ShiftPeer("tool", (40, 40, 40), 1.0))
    out, pairs = tmp_path / "out.csv", str(cases / "pairs.csv")
    assert main(["--pairs", pairs, "--out", str(out), "--method", "tool", "--costs"]) == 0
    with open(out, newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert float(row["seconds"]) == 2.5 and float(row["seconds_cold"]) > 0 and row["made_by"].endswith("of its own")


def test_the_test_pairs_of_a_split(cases, tmp_path, capsys):
    """Two people's crops are for testing: both ordered pairs of them."""
    samples = []
    for i in range(4):
        name = "ab"[i % 2]
        for kind in ("ct", "seg"):
            (tmp_path / f"{i}_{kind}.nii.gz").write_bytes((cases / f"{name}_{kind}.nii.gz").read_bytes())
        samples.append(
            Sample(f"p{i}", "L3", str(tmp_path / f"{i}_ct.nii.gz"), str(tmp_path / f"{i}_seg.nii.gz"), whole="yes")
        )
    write_manifest(tmp_path / "manifest.csv", samples)
    write_split(tmp_path / "split.json", make_split(samples, test_per_level=2), tmp_path / "manifest.csv")
    (tmp_path / "manifest.csv").rename(tmp_path / "moved.csv")
    options = [
        "--split",
        str(tmp_path / "split.json"),
        "--out",
        str(tmp_path / "out.csv"),
        "--model",
        str(cases / "small.h5"),
    ]
    assert main(options) == 2
    assert "manifest.csv" in capsys.readouterr().err
    assert main([*options, "--manifest", str(tmp_path / "moved.csv")]) == 0
    assert "| L3 | 2 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    "more, words",
    [
        (["--processes", "0"], "--processes 0"),
        (["--refine", "10", "-1"], "--refine -1"),
        (["--refine-parts"], "--refine-parts: goes with"),
        (["--method", "syn"], "method 'syn'"),
        (["--method", "tool"], "--model: goes with"),
        (["--costs", "--processes", "2"], "--costs: goes with --processes 1"),
        (["--manifest", "m.csv"], "--manifest: goes with --split"),
        (["--check-people"], "--check-people: goes with --split"),
        (["--model", "gone.h5"], "gone.h5: no such model file"),
        (["--out", "no/such/folder.csv"], "no/such"),
        (["--json", "{out}"], "given for both"),
    ],
)
def test_faults_are_one_line_and_code_2(cases, tmp_path, capsys, monkeypatch, more, words):
    monkeypatch.setitem(PEERS, "tool", ShiftPeer("tool"))
    out = tmp_path / "out.csv"
    assert main(arguments(cases, out, *(word.replace("{out}", str(out)) for word in more))) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and words in lines[0]
    assert not out.exists()


def test_no_pair_that_could_be_registered_is_a_fault(cases, tmp_path, capsys):
    assert main(arguments(cases, tmp_path / "out.csv", pairs="bad.csv")) == 2
    shown = capsys.readouterr()
    assert "gone.nii.gz" in shown.err.splitlines()[-1] and "1 of 1 pairs failed" in shown.out
    assert "| L3 | 0 (1 failed) | – |" in shown.out
