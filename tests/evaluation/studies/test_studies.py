"""The paper's studies at the smallest scale, from nothing to tables and figures; nothing is done twice."""

import csv
import json
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

from acsgreg_tf import networks, training
from acsgreg_tf.cli.studies import main
from acsgreg_tf.cohort.split import Split, read_split
from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation import CropMethod
from acsgreg_tf.evaluation.studies import Scale, run_studies
from acsgreg_tf.evaluation.studies.paper import PAPER
from tests.evaluation.studies.cases import LEVELS, sample

slow = pytest.mark.slow


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of `--scale smoke`."""
    out = tmp_path_factory.mktemp("studies") / "smoke"
    assert main(["--scale", "smoke", "--out", str(out)]) == 0
    return out


@slow
def test_tables_hold_the_means_of_what_was_measured(finished):
    for number, runs in ((1, [f"study-I-{level}" for level in LEVELS]), (2, ["study-II"]), (3, ["study-III"])):
        measured = [row for run in runs for row in rows(finished / "runs" / run / "test.csv")]
        assert len(measured) == 10 and not any(row["fault"] for row in measured)
        table = rows(finished / f"table{number}.csv")
        assert [row["level"] for row in table] == [*LEVELS, "Average"] and [row["pairs"] for row in table] == [
            "2"
        ] * 5 + ["10"]
        for row in table:
            chosen = [r for r in measured if row["level"] in (r["level"], "Average")]
            for name in ("dice_before", "dice_affine", "dice_deformable", "assd_mm_deformable", "recall_affine"):
                assert float(row[name]) == pytest.approx(np.mean([float(r[name]) for r in chosen]))
        paper = PAPER[("I", "II", "III")[number - 1]]["L2"]
        assert (
            float(table[1]["dice_deformable_paper"]) == paper[2]
            and float(table[1]["assd_mm_deformable_paper"]) == paper[-1]
        )
    # The same pairs before any registration, whichever network comes after.
    before = [[row["dice_before"] for row in rows(finished / f"table{number}.csv")] for number in (1, 2, 3)]
    assert before[0] == before[1] == before[2]


@slow
def test_folds_of_both_networks_side_by_side(finished):
    table = rows(finished / "table4.csv")
    assert [row["level"] for row in table] == [*LEVELS, "Average"]
    for network, run in (("AVoxelMorph", "study-II"), ("ACSGRegNet", "study-III")):
        counts = [float(row["folds_count"]) for row in rows(finished / "runs" / run / "test.csv")]
        assert float(table[-1][f"folds_count_{network}_mean"]) == pytest.approx(np.mean(counts))
        assert float(table[-1][f"folds_count_{network}_std"]) == pytest.approx(np.std(counts, ddof=1))
    assert table[0]["folds_count_ACSGRegNet_mean_paper"] == "10209"


@slow
def test_the_text_shows_all_of_it(finished):
    text = (finished / "studies.md").read_text(encoding="utf-8")
    for heading in ("## Table 1", "## Table 2", "## Table 3", "## Table 4", "## Figure 5", "## Figure 6"):
        assert heading in text
    lines = [line for line in text.splitlines() if line.startswith("| L3 |")]
    assert len(lines) == 4 and "(0.969)" in lines[2] and "(11569)" in lines[3]
    assert "4 mm voxels; 2 people for training" in text
    assert "study III − study I | Dice Final | 10 | 2 |" in text and "± " in lines[2]
    latex = (finished / "studies.tex").read_text(encoding="utf-8")
    assert latex.count(r"\begin{table}") == 5 and rows(finished / "tests.csv")[0]["pairs"] == "10"
    for name, least in (("figure5.png", 1000), ("figure6.png", 1500), ("boxes.png", 1000)):
        with Image.open(finished / name) as image:
            assert image.width > least and np.asarray(image.convert("L")).std() > 10


@slow
def test_more_seeds_add_trainings_and_a_table(finished, tmp_path, capsys):
    out = tmp_path / "seeds"
    shutil.copytree(finished, out)
    assert main(["--scale", "smoke", "--out", str(out), "--seeds", "2", "--studies", "II"]) == 0
    shown = capsys.readouterr().out
    assert "study-II: trained already" in shown and "study-II-repeat1: training" in shown
    first, second = (rows(out / "runs" / name / "test.csv") for name in ("study-II", "study-II-repeat1"))
    dice = [np.mean([float(row["dice_deformable"]) for row in part]) for part in (first, second)]
    assert dice[0] != dice[1]
    assert float(rows(out / "table2.csv")[-1]["dice_deformable"]) == pytest.approx(np.mean(dice))
    assert [float(row["dice_deformable"]) for row in rows(out / "seeds.csv")] == pytest.approx(dice)
    text = (out / "studies.md").read_text(encoding="utf-8")
    assert "## Trainings with other seeds" in text and "seed 0 (studies II and III: 0 to 1" in text
    latex = (out / "studies.tex").read_text(encoding="utf-8")
    body = latex[latex.index(r"\label{tab:seeds}") :].split(r"\midrule")[1].split(r"\bottomrule")[0]
    assert body.strip().startswith("study II & ") and body.count(r"\\") == 1


@slow
def test_networks_and_pairs_are_those_of_the_studies(finished):
    facts = (finished / "studies.md").read_text(encoding="utf-8")
    for level in LEVELS:  # two people: both ordered pairs of the level
        assert f"| study-I-{level} | AVoxelMorph |" in facts
    assert type(networks.load(finished / "runs" / "study-I-L4" / "last.h5")).__name__ == "AVoxelMorph"
    assert type(networks.load(finished / "runs" / "study-III" / "last.h5")).__name__ == "ACSGRegNet"
    split = read_split(finished / "split.json")
    assert not {s.person for s in split.train} & {s.person for s in split.test}
    tested = {(row["fixed"], row["moving"]) for row in rows(finished / "runs" / "study-II" / "test.csv")}
    assert len(tested) == 10 and all("crops" in name for pair in tested for name in pair)


@slow
def test_what_is_done_is_not_done_again(finished, capsys, monkeypatch):
    monkeypatch.setattr(training, "train", lambda *a, **k: pytest.fail("trained again"))
    monkeypatch.setattr(CropMethod, "run", lambda *a: pytest.fail("tested again"))
    before = {path.name: path.read_bytes() for path in finished.glob("table*.csv")}
    options = ["--scale", "smoke", "--out", str(finished), "--split", str(finished / "split.json")]
    assert main([*options, "--manifest", str(finished / "cohort" / "manifest.csv")]) == 0  # now as a prepared cohort
    assert "study-III: trained already" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in finished.glob("table*.csv")} == before


def fit_until(step):
    """Keras's fit with Ctrl-C after so many steps."""
    fit = keras.Model.fit

    class Stop(keras.callbacks.Callback):
        left = step

        def on_train_batch_end(self, batch, logs=None):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt

    return lambda self, *arguments, callbacks, **options: fit(
        self, *arguments, callbacks=[*callbacks, Stop()], **options
    )


@slow
def test_killed_and_started_again_gives_the_same_table(finished, tmp_path, capsys, monkeypatch):
    """Stopped within the training, stopped within the test, then left to end; with an ablation at the end."""
    out = tmp_path / "again"
    out.mkdir()
    for name in ("cohort", "crops"):
        shutil.copytree(finished / name, out / name)
    arguments = ["--scale", "smoke", "--out", str(out), "--studies", "III"]

    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "fit", fit_until(3))
        assert main(arguments) == 130
    state = json.loads((out / "runs" / "study-III" / "state.json").read_text(encoding="utf-8"))
    assert state["step"] == 3
    assert not (out / "runs" / "study-III" / "test.csv").exists()

    tested = []

    def stop(self, pair, run=CropMethod.run):
        if len(tested) == 4:
            raise KeyboardInterrupt
        tested.append(pair)
        return run(self, pair)

    with monkeypatch.context() as patch:
        patch.setattr(CropMethod, "run", stop)
        assert main(arguments) == 130
    assert len(rows(out / "runs" / "study-III" / "test.csv")) == 4 and not (out / "table3.csv").exists()

    capsys.readouterr()
    assert main([*arguments, "--ablations", "labels"]) == 0
    shown = capsys.readouterr().out
    assert "study-III: trained already" in shown and "## Table 2" not in shown and "## Table 4" not in shown
    for ours, theirs in zip(rows(out / "table3.csv"), rows(finished / "table3.csv"), strict=True):
        assert ours.keys() == theirs.keys() and ours.pop("level") == theirs.pop("level")
        # Sums in another order: a voxel at the threshold may fall on either side.
        assert {name: float(ours[name] or 0) for name in ours} == pytest.approx(
            {name: float(theirs[name] or 0) for name in theirs}, abs=5e-3
        )
    whole, without = rows(out / "ablations.csv")
    assert whole["network"] == "ACSGRegNet" and without["network"] == "without labels"
    assert without["parameters"] == whole["parameters"] and without["dice_deformable"] != whole["dice_deformable"]
    log = rows(out / "runs" / "ablation-labels" / "log-joint.csv")
    assert "m_d_loss" in log[0] and "m_d_seg_loss" not in log[0]

    # Another kind of study does not go into the same folder.
    assert main([*arguments, "--epochs", "3"]) == 2
    message = capsys.readouterr().err
    assert "studies.json" in message and "another scale" in message


def test_an_ablation_that_changes_nothing_is_refused(tmp_path):
    ones = np.ones((32, 32, 16))
    one = sample(tmp_path, "a", ones.astype("float32"), ones.astype("uint8"))
    split = Split(train=(one,), val=(), test=(one,), by="person", seed=0)
    with pytest.raises(InputError, match="ablation batch: changes nothing"):
        run_studies(split, tmp_path / "out", Scale(), ablations=["batch"])
    assert not (tmp_path / "out").exists()


def test_a_split_without_a_pair_is_refused(tmp_path):
    ones = np.ones((32, 32, 16))
    one = sample(tmp_path, "a", ones.astype("float32"), ones.astype("uint8"))
    split = Split(train=(one,), val=(), test=(one,), by="person", seed=0)
    with pytest.raises(InputError, match="no pair to test"):
        run_studies(split, tmp_path / "out", Scale())
