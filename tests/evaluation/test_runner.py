"""Methods on pairs: what each row says, that a second run does what is missing, and the tables made of the rows."""

import csv

import numpy as np
import pytest

from acsgreg_tf import evaluation, metrics
from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation import KEY, NUMBERS, Crops, Network, evaluate, measure, read_pairs, summarise, tables
from acsgreg_tf.geometry import network_grid
from acsgreg_tf.io.images import Image
from acsgreg_tf.registration import STAGES, register
from tests.registration.cases import NUMBER, KnownNetwork, grid_about, save, save_network, scan


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """A pairs file with two levels, the second pair's moving label map missing, and a small network."""
    folder = tmp_path_factory.mktemp("cases")
    places = {"a": (12.5, -30.0, 55.5), "b": (-200.0, 40.5, 7.0)}
    for name, place in places.items():
        ct, label = scan(grid_about(place, (40, 40, 40), (1, 1, 1)), place)
        save(ct, folder / f"{name}_ct.nii.gz")
        save(label, folder / f"{name}_seg.nii.gz")
    rows = [
        "fixed,fixed_seg,moving,moving_seg,level,label",
        "a_ct.nii.gz,a_seg.nii.gz,b_ct.nii.gz,b_seg.nii.gz,L3,",
        "b_ct.nii.gz,b_seg.nii.gz,a_ct.nii.gz,gone.nii.gz,L3,",
        f"b_ct.nii.gz,b_seg.nii.gz,a_ct.nii.gz,a_seg.nii.gz,other,{NUMBER - 1}",
    ]
    (folder / "pairs.csv").write_text("\n".join(rows) + "\n")
    return folder, save_network(folder / "small.h5")


@pytest.fixture(scope="module")
def finished(cases):
    folder, model = cases
    told = []
    rows = evaluate([Network(model)], read_pairs(folder / "pairs.csv"), folder / "out.csv", progress=told.append)
    return rows, told, folder / "out.csv"


def table_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_row_a_pair_and_a_reason_for_a_failure(cases, finished):
    rows, told, out = finished
    assert [row["method"] for row in rows] == ["small"] * 3 and told == rows
    assert [bool(row["fault"]) for row in rows] == [False, True, False]
    assert "gone.nii.gz" in rows[1]["fault"] and "\n" not in rows[1]["fault"]
    found = table_of(out)
    assert [row["fault"] for row in found] == [row["fault"] for row in rows]
    assert float(found[0]["dice_deformable"]) == rows[0]["dice_deformable"]
    assert all(found[0][name] for name in NUMBERS) and not found[1]["dice_before"]


def test_the_numbers_are_those_of_the_measures(cases, finished):
    folder, model = cases
    names = (folder / f"{name}.nii.gz" for name in ("a_ct", "b_ct", "a_seg", "b_seg"))
    fixed, moving, fixed_seg, moving_seg = map(str, names)
    result = register(fixed, moving, model=model, fixed_seg=fixed_seg, moving_seg=moving_seg, label=NUMBER)
    row = finished[0][0]
    expected = measure(result)
    assert {name: row[name] for name in NUMBERS if name != "seconds"} == pytest.approx(
        {name: expected[name] for name in NUMBERS if name != "seconds"}, abs=1e-5
    )
    for stage in STAGES:
        moved = result.labels[stage]
        assert row[f"dice_{stage}"] == pytest.approx(metrics.dice(result.fixed.label, moved), abs=1e-5)
        assert row[f"hd95_mm_{stage}"] == pytest.approx(
            metrics.hd95(result.fixed.label, moved, spacing=(1, 1, 1)), abs=1e-4
        )
    assert row["folds_percent"] == metrics.folds(result.displacement).percent
    assert row["central_folds_count"] == metrics.folds(result.displacement, "central").count
    assert row["inverse_error_mm"] == pytest.approx(result.summary["inverse_error_mm"], abs=1e-5)
    assert row["dice_before"] > 0.97  # one vertebra twice, centres laid on each other


def test_a_second_run_does_what_is_missing(cases, finished, tmp_path, monkeypatch):
    folder, model = cases
    pairs = read_pairs(folder / "pairs.csv")
    kept = table_of(finished[2])
    del kept[2]  # stopped before the third pair
    kept[0]["dice_before"] = "0.25"  # to see that it is kept and not measured again
    with open(tmp_path / "out.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, kept[0])
        writer.writeheader()
        writer.writerows(kept)
    run = []
    monkeypatch.setattr(Network, "run", lambda self, pair, run_=Network.run: run.append(pair) or run_(self, pair))
    rows = evaluate([Network(model)], pairs, tmp_path / "out.csv")
    assert run == pairs[1:]  # the failed one again, and the missing one
    assert rows[0]["dice_before"] == 0.25
    assert rows[2]["dice_deformable"] == pytest.approx(finished[0][2]["dice_deformable"], abs=1e-6)
    assert [row["fixed"] for row in table_of(tmp_path / "out.csv")] == [pair["fixed"] for pair in pairs]


def test_rows_of_another_network_are_not_passed_off(cases, finished, tmp_path):
    folder, model = cases
    pairs = read_pairs(folder / "pairs.csv")
    other = tmp_path / "small.h5"
    save_network(other, spoilt=True)
    with pytest.raises(InputError, match="out.csv: its rows of small were made by network"):
        evaluate([Network(str(other))], pairs, finished[2])
    with pytest.raises(InputError, match="not all different"):
        evaluate([Network(model), Network(model)], pairs, tmp_path / "new.csv")
    with pytest.raises(InputError, match="NaN"):
        evaluate([Network(str(other), name="other")], pairs, finished[2])
    (tmp_path / "list.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="not a table of this command"):
        evaluate([Network(model)], pairs, tmp_path / "list.csv")
    assert not (tmp_path / "new.csv").exists()


def test_options_of_register_make_a_method_of_their_own(cases, tmp_path, monkeypatch):
    folder, model = cases
    seen = []
    monkeypatch.setattr(evaluation, "register", lambda *a, **options: seen.append(options) or register(*a, **options))
    method = Network(model, options=(("table", "verse"),))
    assert method.name == "small table verse" and method.made_by() != Network(model).made_by()
    own = Network(model, options=(("fit_affine", False),))
    assert (
        "affine fitted" in method.made_by() and "affine fitted" not in own.made_by()
    )  # nor in rows of before it was fitted
    evaluate([method], read_pairs(folder / "pairs.csv")[:1], tmp_path / "out.csv")
    assert seen[0]["table"] == "verse"


def test_processes_give_the_same_rows(cases, finished, tmp_path):
    folder, model = cases
    rows = evaluate([Network(model)], read_pairs(folder / "pairs.csv")[:2], tmp_path / "out.csv", processes=2)
    for ours, theirs in zip(rows, finished[0]):
        assert [ours[name] for name in (*KEY, "fault")] == [theirs[name] for name in (*KEY, "fault")]
    # Another number of threads adds up in another order; a voxel at the threshold may fall on either side.
    assert rows[0]["dice_deformable"] == pytest.approx(finished[0][0]["dice_deformable"], abs=1e-3)


def test_crops_are_measured_in_mm_of_their_own_spacing(cases, tmp_path, monkeypatch):
    """Crops with 2 mm voxels, two voxels apart: 4 mm before, and nothing after the affine that brings them back."""
    pair = {"level": "L3", "label": ""}
    for name, shift in (("fixed", 0.0), ("moving", 4.0)):
        ct, label = scan(network_grid((shift / 3, 0, 0), (32, 32, 32), 2 / 3))  # on 2 mm, a shape three times as large
        image = np.where(label.data == NUMBER, np.clip((ct.data + 200) / 1700, 0, 1), 0).astype("float32")
        for key, data in ((name, image), (f"{name}_seg", (label.data == NUMBER).astype("uint8"))):
            pair[key] = save(Image(data, network_grid((0, 0, 0), (32, 32, 32), 2.0)), tmp_path / f"{key}.nii.gz")
    back = np.eye(3, 4)
    back[0, 3] = -2
    monkeypatch.setattr(evaluation, "_network", lambda path: KnownNetwork(back))
    (row,) = evaluate([Crops(cases[1], "study")], [pair], tmp_path / "out.csv")
    assert row["fault"] == "" and row["method"] == "study"
    assert 1 < row["assd_mm_before"] < 4 and row["hd95_mm_before"] == pytest.approx(4, abs=0.01)
    # A centre that lies on the shape's border may fall on either side of it, so not quite 1.
    assert row["dice_affine"] == row["dice_deformable"] > 0.998 and row["assd_mm_affine"] < 0.01
    assert row["folds_count"] == 0 and row["inverse_error_mm"] == 0
    save(
        Image(np.ones((32, 32, 32), "uint8"), network_grid((9, 0, 0), (32, 32, 32), 2.0)),
        tmp_path / "moving_seg.nii.gz",
    )
    (row,) = evaluate([Crops(cases[1], "study")], [pair], tmp_path / "again.csv")
    assert "moving_seg.nii.gz: does not lie on the grid" in row["fault"]


def test_whole_scans_and_crops_in_one_pair(cases):
    """A map of many vertebrae is asked for the level's number; one that shows a single vertebra may call it 1."""
    folder, _ = cases
    ct, label = scan(grid_about((0, 0, 0), (30, 30, 30), (1, 1, 1)))
    alone = np.where(label.data == NUMBER, 1, 0).astype("int16")
    pair = {
        "fixed_seg": str(folder / "a_seg.nii.gz"),
        "moving_seg": Image(alone, label.grid, "crop"),
        "level": "L3",
        "label": "",
    }
    fixed, moving = evaluation._labels(pair)
    assert set(np.unique(fixed.data)) == {0, NUMBER} and set(np.unique(moving.data)) == {0, 1}
    neighbour = Image(alone * (NUMBER - 1), label.grid, "neighbour")
    with pytest.raises(InputError, match="neighbour: does not hold label 22"):
        evaluation._labels(pair | {"moving_seg": neighbour})
    with pytest.raises(InputError, match="holds the labels 21, 22; say which one"):
        evaluation._labels(pair | {"level": ""})
    with pytest.raises(InputError, match="crop: does not hold label 22"):
        evaluation._labels(pair | {"label": "22"})


def row_of(method, level, dice, fault=""):
    numbers = dict.fromkeys(NUMBERS, 1.0) | {"dice_deformable": dice}
    return {"method": method, "level": level, "fault": fault} | ({} if fault else numbers)


def test_means_and_spread_by_level():
    rows = [
        row_of("net", "L2", 0.5),
        row_of("net", "L1", 0.8),
        row_of("net", "L1", 0.6),
        row_of("net", "L1", 0, "gone"),
    ]
    summary = summarise(rows)
    assert list(summary["net"]) == ["L1", "L2", "all"]
    assert summary["net"]["L1"]["pairs"] == 2 and summary["net"]["L1"]["failed"] == 1
    assert summary["net"]["L1"]["dice_deformable"] == pytest.approx({"mean": 0.7, "std": np.std([0.8, 0.6], ddof=1)})
    assert np.isnan(summary["net"]["L2"]["dice_deformable"]["std"])
    assert summary["net"]["all"]["dice_deformable"]["mean"] == pytest.approx(19 / 30)


def test_tables_of_one_and_of_several_methods():
    rows = [
        row_of("net", "L1", 0.8),
        row_of("net", "L1", 0.6),
        row_of("tool", "L1", 0.5),
        row_of("tool", "L1", 0, "gone"),
    ]
    rows[2]["inverse_error_mm"] = float("nan")
    rows[0]["hd95_mm_deformable"] = np.inf
    text = tables(summarise(rows))
    one, two, both = text.split("### ")[1:]
    assert "| L1 | 2 |" in one and "0.700 ± 0.141" in one and "| inf |" in one
    assert "| L1 | 1 (1 failed) |" in two
    last = both.strip().splitlines()[-1].split(" | ")
    assert last[0] == "| tool" and last[4] == "0.500" and last[-2] == "–"
    lengths = {line.count("|") for line in both.strip().splitlines()[2:]}
    assert len(lengths) == 1
    assert "### Methods" not in tables(summarise(rows[:2]))


@pytest.mark.parametrize(
    "text, words",
    [
        ("fixed,fixed_seg\na,b\n", "lacks the column moving, moving_seg"),
        ("fixed,fixed_seg,moving,moving_seg\n", "holds no pair"),
        ("fixed,fixed_seg,moving,moving_seg\na,b,,d\n", "line 2: moving is empty"),
        ("fixed,fixed_seg,moving,moving_seg,label\na,b,c,d,L3\n", "line 2: label must be a whole number"),
    ],
)
def test_bad_lists_of_pairs_are_refused(tmp_path, text, words):
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_pairs(tmp_path / "pairs.csv")
