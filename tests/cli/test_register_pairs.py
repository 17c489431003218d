"""register.py --pairs: names, tables, resuming, faults of single pairs, and two at a time."""

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from acsgreg_tf.cli.register import main
from acsgreg_tf.io.transforms import read_transform
from tests.cli.cases import fails, write_cases
from tests.registration.cases import NUMBER


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return write_cases(tmp_path_factory.mktemp("cases"))


def write_list(path, rows):
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def pair(cases, swapped=False, **cells):
    first, second = ("moving", "fixed") if swapped else ("fixed", "moving")
    files = {"fixed": first, "moving": second, "fixed_seg": f"{first}_seg", "moving_seg": f"{second}_seg"}
    return {name: str(cases[file]) for name, file in files.items()} | {"level": "L3"} | cells


def command(cases, pairs, out, *more):
    return ["--pairs", str(pairs), "--out", str(out), "--model", str(cases["model"]), *map(str, more)]


def batch(cases, pairs, out, *more):
    return main(command(cases, pairs, out, *more))


def read(out):
    with open(out / "results.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_each_pair_has_its_outputs_and_its_row(cases, tmp_path, capsys):
    pairs = write_list(tmp_path / "pairs.csv", [pair(cases), pair(cases, swapped=True, id="back")])
    out = tmp_path / "out"
    assert batch(cases, pairs, out) == 0
    assert capsys.readouterr().out.splitlines() == [f"2 of 2 pairs are registered: {out / 'results.csv'}"]
    rows = read(out)
    assert [row["id"] for row in rows] == ["moving_ct_to_fixed_ct_L3", "back"]
    for row in rows:
        folder = out / row["id"]
        assert {file.name for file in folder.iterdir()} == {
            "moved.nii.gz",
            "moved_seg.nii.gz",
            "warp.h5",
            "metrics.json",
        }
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        for name in ("dice", "assd_mm", "lncc"):
            for stage in ("before", "affine", "deformable"):
                assert float(row[f"{name}_{stage}"]) == metrics[name][stage]
        assert row["folds"] == "0" and row["fault"] == "" and float(row["seconds"]) > 0
    assert rows[0]["fixed"] == rows[1]["moving"]


def times(out):
    """When the metrics of a, b and c were written."""
    return [(out / "L3" / f"{name}.json").stat().st_mtime_ns for name in "abc"]


def test_a_second_run_does_what_is_missing(cases, tmp_path):
    pairs = write_list(tmp_path / "pairs.csv", [pair(cases, id="a"), pair(cases, id="b"), pair(cases, id="c")])
    out = tmp_path / "out"
    options = ("--transform", "rigid", "--moved", "{id}.nii.gz", "--metrics", "{level}/{id}.json")
    assert batch(cases, pairs, out, *options) == 0
    assert (out / "L3" / "a.json").is_file() and not (out / "warp.h5").exists()
    seconds, written = [row["seconds"] for row in read(out)], times(out)
    # A run that was killed: one file is gone, and one row half written.
    (out / "b.nii.gz").unlink()
    table = out / "results.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join(lines[:3]) + "\n" + lines[3][:25], encoding="utf-8")
    assert batch(cases, pairs, out, *options) == 0
    again = [row["seconds"] for row in read(out)]
    assert [row["id"] for row in read(out)] == ["a", "b", "c"] and (out / "b.nii.gz").is_file()
    assert again[0] == seconds[0]
    # By the files' times: the seconds of two short registrations may be the same.
    assert [then == now for then, now in zip(written, times(out), strict=True)] == [True, False, False]


def test_a_batch_registers_a_pair_as_alone(cases, tmp_path):
    """Also where the one label is no lumbar number, and strays."""
    one = pair(cases, id="a", level="")
    for name in ("fixed_seg", "moving_seg"):
        image = nib.load(cases[name])
        data = (np.asarray(image.dataobj) == NUMBER).astype(np.uint8)
        data[0, 0, 0] = name == "fixed_seg"
        one[name] = str(tmp_path / f"{name}.nii.gz")
        nib.save(nib.Nifti1Image(data, image.affine), one[name])
    pairs, out = write_list(tmp_path / "pairs.csv", [one]), tmp_path / "out"
    assert batch(cases, pairs, out, "--transform", "rigid") == 0
    (row,) = read(out)
    assert "label 1: 1 stray voxel left out" in row["warnings"]
    files = [f"--{name.replace('_', '-')}={one[name]}" for name in ("fixed", "fixed_seg", "moving", "moving_seg")]
    more = ["--model", str(cases["model"]), "--transform", "rigid", "--warp", str(tmp_path / "alone.h5")]
    assert main([*files, "--moved", str(tmp_path / "moved.nii.gz"), *more]) == 0
    points = np.random.default_rng(0).uniform(-20, 20, (50, 3))
    ours, alone = (read_transform(path).apply(points) for path in (out / "a" / "warp.h5", tmp_path / "alone.h5"))
    np.testing.assert_allclose(ours, alone, atol=1e-6)


def test_a_column_that_the_user_adds_stays(cases, tmp_path):
    pairs = write_list(tmp_path / "pairs.csv", [pair(cases, id="a")])
    out = tmp_path / "out"
    assert batch(cases, pairs, out, "--transform", "rigid") == 0
    (row,) = read(out)
    write_list(out / "results.csv", [row | {"notes": "looks good"}])
    write_list(pairs, [pair(cases, id="a"), pair(cases, id="b")])
    assert batch(cases, pairs, out, "--transform", "rigid") == 0
    assert [(row["id"], row["notes"]) for row in read(out)] == [("a", "looks good"), ("b", "")]


def test_a_pair_that_fails_is_a_row_and_is_tried_again(cases, tmp_path, capsys):
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"no image")
    rows = [pair(cases, id="bad", moving=str(broken)), pair(cases, id="good")]
    pairs, out = write_list(tmp_path / "pairs.csv", rows), tmp_path / "out"
    assert batch(cases, pairs, out, "--transform", "rigid") == 1
    shown = capsys.readouterr()
    assert "1 of 2 pairs are registered" in shown.out
    assert shown.err.startswith("warning: bad: ") and str(broken) in shown.err
    assert [bool(row["fault"]) for row in read(out)] == [True, False]
    broken.write_bytes(Path(cases["moving"]).read_bytes())
    assert batch(cases, pairs, out, "--transform", "rigid") == 0
    assert [row["fault"] for row in read(out)] == ["", ""]


@pytest.mark.slow
def test_two_at_a_time_do_the_same(cases, tmp_path):
    pairs = write_list(tmp_path / "pairs.csv", [pair(cases, id="a"), pair(cases, swapped=True, id="b")])
    assert batch(cases, pairs, tmp_path / "one") == 0
    assert batch(cases, pairs, tmp_path / "two", "--jobs", 2) == 0
    for one, two in zip(read(tmp_path / "one"), read(tmp_path / "two"), strict=True):
        assert one["id"] == two["id"]
        assert float(one["dice_deformable"]) == pytest.approx(float(two["dice_deformable"]), abs=1e-6)


def test_crops_whose_label_is_one_are_taken_at_any_level(cases, tmp_path):
    import nibabel as nib

    for side in ("fixed", "moving"):
        image = nib.load(cases[f"{side}_seg"])
        alone = (np.asarray(image.dataobj) == 22).astype(np.uint8)
        nib.save(nib.Nifti1Image(alone, image.affine), tmp_path / f"{side}.nii.gz")
    rows = [pair(cases, fixed_seg="fixed.nii.gz", moving_seg="moving.nii.gz")]
    assert batch(cases, write_list(tmp_path / "pairs.csv", rows), tmp_path / "out", "--transform", "rigid") == 0


def test_faults_of_the_list_are_one_line(cases, tmp_path, capsys):
    def refused(rows, *more):
        pairs = write_list(tmp_path / "pairs.csv", rows)
        return fails(command(cases, pairs, tmp_path / "out", *more), capsys)

    good = pair(cases, id="a")
    assert "line 2: moving is empty" in refused([good | {"moving": ""}])
    assert "nowhere.nii.gz: no such file" in refused([good | {"fixed": "nowhere.nii.gz"}])
    assert "line 2: label must be a whole number" in refused([good | {"label": "L3"}])
    assert "line 3: a is that of" in refused([good, good])
    assert "must be usable as a file's name" in refused([good | {"id": "../a"}])
    assert "names a column that the list lacks" in refused([good], "--moved", "{person}.nii.gz")
    assert "{id}.png" in refused([good], "--warp", "{id}.png")
    assert "is that of" in refused([good, good | {"id": "b"}], "--moved", "moved.nii.gz")
    assert not (tmp_path / "out").exists()


def test_faults_of_the_options_are_one_line(cases, tmp_path, capsys):
    pairs = write_list(tmp_path / "pairs.csv", [pair(cases)])
    refused = [
        (("--fixed", cases["fixed"]), "--fixed"),
        (("--level", "L3"), "column of the list"),
        (("--levels", "all"), "does not go with --pairs"),
        (("--spine",), "--spine: does not go with --pairs"),
        (("--poses", "p.csv"), "--poses p.csv: does not go with --pairs"),
        (("--jacobian", "{id}.nii.gz"), "does not go with --pairs"),
        (("--jobs", "0"), "--jobs 0: must be at least 1"),
        (("--jobs", "2", "--dask", "tcp://127.0.0.1:1"), "the cluster decides"),
    ]
    for options, fault in refused:
        assert fault in fails(command(cases, pairs, tmp_path / "out", *options), capsys)
    assert "needs --out" in fails(["--pairs", str(pairs)], capsys)
    assert "--out" in fails(["--fixed", "a", "--moving", "b", "--moved", "c.nii", "--out", "d"], capsys)
    assert "required: --fixed, --moving " in fails([], capsys)


def test_rows_of_other_options_are_not_mixed(cases, tmp_path, capsys):
    pairs = write_list(tmp_path / "pairs.csv", [pair(cases)])
    assert batch(cases, pairs, tmp_path / "out", "--transform", "rigid") == 0
    message = fails(command(cases, pairs, tmp_path / "out", "--transform", "affine"), capsys)
    assert "other options or another network" in message


def test_with_strict_a_doubtful_pair_is_code_3(cases, tmp_path, monkeypatch):
    from acsgreg_tf.registration import doubts

    monkeypatch.setattr(doubts, "LEAST_LINEAR_DICE", 1.1)
    pairs = write_list(tmp_path / "pairs.csv", [pair(cases)])
    assert batch(cases, pairs, tmp_path / "out", "--transform", "rigid", "--strict") == 3
    assert read(tmp_path / "out")[0]["flags"]


@pytest.mark.slow
def test_a_cluster_does_the_same_from_another_folder(cases, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="needs dask.distributed (the extra 'cluster')")
    pairs = write_list(tmp_path / "pairs.csv", [pair(cases, id="a"), pair(cases, swapped=True, id="b")])
    assert batch(cases, pairs, tmp_path / "here", "--transform", "rigid") == 0
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        monkeypatch.chdir(tmp_path)
        where = ("--transform", "rigid", "--dask", cluster.scheduler_address)
        assert batch(cases, "pairs.csv", Path("there"), *where) == 0
    assert [row["id"] for row in read(tmp_path / "there")] == ["a", "b"]
    for here, there in zip(read(tmp_path / "here"), read(tmp_path / "there"), strict=True):
        assert float(here["dice_deformable"]) == pytest.approx(float(there["dice_deformable"]), abs=1e-6)
