"""The paper's studies at the smallest scale, from nothing to tables and figures; that nothing is done twice; what is what."""

import csv
import json
import shutil
from dataclasses import replace

import keras
import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from acsgreg_tf import evaluation, networks, training
from acsgreg_tf.cli.studies import main
from acsgreg_tf.cohort.manifest import Sample
from acsgreg_tf.cohort.split import Split, read_split
from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation.studies import report as study_report
from acsgreg_tf.evaluation.studies import run as studies
from acsgreg_tf.evaluation.studies.report import PAPER, PAPER_FOLDS
from acsgreg_tf.evaluation.studies.run import SCALES, Scale, plan, run_studies

LEVELS = ["L1", "L2", "L3", "L4", "L5"]


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of `--scale smoke`."""
    out = tmp_path_factory.mktemp("studies") / "smoke"
    assert main(["--scale", "smoke", "--out", str(out)]) == 0
    return out


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


def test_folds_of_both_networks_side_by_side(finished):
    table = rows(finished / "table4.csv")
    assert [row["level"] for row in table] == [*LEVELS, "Average"]
    for network, run in (("AVoxelMorph", "study-II"), ("ACSGRegNet", "study-III")):
        counts = [float(row["folds_count"]) for row in rows(finished / "runs" / run / "test.csv")]
        assert float(table[-1][f"folds_count_{network}_mean"]) == pytest.approx(np.mean(counts))
        assert float(table[-1][f"folds_count_{network}_std"]) == pytest.approx(np.std(counts, ddof=1))
    assert table[0]["folds_count_ACSGRegNet_mean_paper"] == "10209"


def test_the_text_shows_all_of_it(finished):
    text = (finished / "studies.md").read_text(encoding="utf-8")
    for heading in ("## Table 1", "## Table 2", "## Table 3", "## Table 4", "## Figure 5", "## Figure 6"):
        assert heading in text
    lines = [line for line in text.splitlines() if line.startswith("| L3 |")]
    assert len(lines) == 4 and "(0.969)" in lines[2] and "(11569)" in lines[3]
    assert "4 mm voxels; 2 people for training" in text
    for name, least in (("figure5.png", 1000), ("figure6.png", 1500)):
        with Image.open(finished / name) as image:
            assert image.width > least and np.asarray(image.convert("L")).std() > 10


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


def test_what_is_done_is_not_done_again(finished, capsys, monkeypatch):
    monkeypatch.setattr(training, "train", lambda *a, **k: pytest.fail("trained again"))
    monkeypatch.setattr(evaluation.Crops, "run", lambda *a: pytest.fail("tested again"))
    kept = {path.name: path.read_bytes() for path in finished.glob("table*.csv")}
    options = ["--scale", "smoke", "--out", str(finished), "--split", str(finished / "split.json")]
    assert main([*options, "--manifest", str(finished / "cohort" / "manifest.csv")]) == 0  # now as a prepared cohort
    assert "study-III: trained already" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in finished.glob("table*.csv")} == kept


def test_killed_and_started_again_gives_the_same_table(finished, tmp_path, capsys, monkeypatch):
    """Stopped within the training, stopped within the test, then left to end; with an ablation at the end."""
    out = tmp_path / "again"
    out.mkdir()
    for name in ("cohort", "crops"):
        shutil.copytree(finished / name, out / name)
    arguments = ["--scale", "smoke", "--out", str(out), "--studies", "III"]

    class Stop(training.Progress):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)
            if self.position.step == 3:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "Progress", Stop)
        assert main(arguments) == 130
    assert json.loads((out / "runs" / "study-III" / "state.json").read_text(encoding="utf-8"))["step"] == 3
    assert not (out / "runs" / "study-III" / "test.csv").exists()

    tested = []
    run = evaluation.Crops.run

    def stop(self, pair):
        if len(tested) == 4:
            raise KeyboardInterrupt
        tested.append(pair)
        return run(self, pair)

    with monkeypatch.context() as patch:
        patch.setattr(evaluation.Crops, "run", stop)
        assert main(arguments) == 130
    assert len(rows(out / "runs" / "study-III" / "test.csv")) == 4 and not (out / "table3.csv").exists()

    capsys.readouterr()
    assert main([*arguments, "--ablations", "labels"]) == 0
    said = capsys.readouterr().out
    assert "study-III: trained already" in said and "## Table 2" not in said and "## Table 4" not in said
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
    assert "holds studies of another scale" in capsys.readouterr().err


def test_plan_of_the_paper():
    runs = plan(LEVELS, ablations=tuple(studies.ABLATIONS))
    assert [(run.study, run.network, run.level) for run in runs[:5]] == [
        ("I", "AVoxelMorph", level) for level in LEVELS
    ]
    mixed = [("II", "AVoxelMorph", None), ("III", "ACSGRegNet", None)]
    assert [(run.study, run.network, run.level) for run in runs[5:7]] == mixed
    assert [run.name for run in runs[7:]] == ["ablation-sam", "ablation-cam", "ablation-gate", "ablation-labels"]
    assert [run.labels for run in runs[7:]] == [True, True, True, False]
    paper = SCALES["paper"]
    assert paper.recipe == training.Recipe() and paper.spacing == 1 and paper.networks["ACSGRegNet"] == {}
    assert (paper.people, paper.test_people, paper.per_sample) == (61, 10, 10)


@pytest.mark.parametrize(
    "name, gone, left",
    [("sam", "sam_fixed", "cam"), ("cam", "cam", "sam_fixed"), ("gate", "gfm", "cam")],
)
def test_an_ablation_lacks_what_it_says(name, gone, left):
    scale = SCALES["smoke"]
    (run,) = [run for run in plan(["L1"], ["III"], [name]) if run.study == "ablation"]
    network = networks.ACSGRegNet((32, 32, 16), **scale.networks["ACSGRegNet"], **run.changed)
    layers = {layer.name for layer in network.layers}
    assert gone not in layers and left in layers
    keras.backend.clear_session()


def test_the_papers_tables_agree_with_themselves():
    """Its averages are those of its levels, its percentages those of its counts on 127 x 127 x 63: a typing error would show."""
    for table in PAPER.values():
        levels = np.array([table[level] for level in LEVELS])
        np.testing.assert_allclose(levels.mean(0), table["Average"], atol=0.0021)
    counts = np.array([PAPER_FOLDS[level] for level in LEVELS])
    np.testing.assert_allclose(counts.mean(0)[[0, 2, 4, 6]], np.array(PAPER_FOLDS["Average"])[[0, 2, 4, 6]], atol=1)
    every = np.array(list(PAPER_FOLDS.values()))
    np.testing.assert_allclose(100 * every[:, :4] / (127 * 127 * 63), every[:, 4:], atol=0.06)


def sample(folder, name, image, label, person="p0"):
    paths = []
    for kind, data in (("ct", image), ("seg", label)):
        paths.append(str(folder / f"{name}_{kind}.nii.gz"))
        nib.save(nib.Nifti1Image(data, np.diag([1.0, 1, 1, 1])), paths[-1])
    return Sample(person, "L1", *paths, whole="yes")


def test_crops_are_averaged_about_their_centre(tmp_path):
    label = np.zeros((8, 8, 4), "uint8")
    label[2:6, 2:6] = 1
    label[6, 2:4, :2] = 1  # half of a block: not more than half, so no voxel
    image = (label * np.arange(8).reshape(8, 1, 1) / 8).astype("float32")
    full = sample(tmp_path, "a", image, label)
    (small,) = studies._reduced([full], 2, tmp_path / "crops")
    found, mask = nib.load(small.image), nib.load(small.label)
    assert found.shape == (4, 4, 2) and np.allclose(found.header.get_zooms(), 2)
    ends = [(nib.load(path).affine, np.array(nib.load(path).shape) - 1) for path in (full.image, small.image)]
    np.testing.assert_allclose(*(nib.affines.apply_affine(affine, last / 2) for affine, last in ends))
    wanted = np.zeros((4, 4, 2))
    wanted[1:3, 1:3] = 1
    np.testing.assert_array_equal(np.asarray(mask.dataobj), wanted)
    np.testing.assert_allclose(found.get_fdata()[:, 1, 0], [0, 2.5 / 8, 4.5 / 8, 0], atol=1e-6)
    assert studies._reduced([full], 1, tmp_path / "none") == [full] and not (tmp_path / "none").exists()
    with pytest.raises(InputError, match="cannot be divided by 3"):
        studies._reduced([full], 3, tmp_path / "crops3")


def test_what_cannot_be_studied_is_refused(tmp_path):
    ones = np.ones((32, 32, 16))
    one = sample(tmp_path, "a", ones.astype("float32"), ones.astype("uint8"))
    split = Split(train=(one,), val=(), test=(one,), by="person", seed=0)
    with pytest.raises(InputError, match="no pair to test"):
        run_studies(split, tmp_path / "out", Scale())
    with pytest.raises(InputError, match="people 5: 4 are held out"):
        replace(SCALES["smoke"], people=5, test_people=4)


@pytest.mark.parametrize(
    "more, words",
    [
        (["--studies", "IV"], "study 'IV': must be one of I, II, III"),
        (["--ablations", "sam", "--studies", "I"], "ablations: are compared with study III"),
        (["--ablations", "head"], "ablation 'head'"),
        (["--manifest", "m.csv"], "--manifest: needs the --split"),
        (["--split", "s.json", "--people", "9"], "--people"),
        (["--split", "gone.json"], "gone.json"),
        (["--people", "3"], "people 3"),
        (["--epochs", "0"], "epochs"),
        (["--processes", "0"], "--processes 0"),
        (["--seed", "-1"], "--seed -1"),
    ],
)
def test_faults_are_one_line_and_code_2(tmp_path, capsys, more, words):
    assert main(["--scale", "smoke", "--out", str(tmp_path / "out"), *more]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and said[0].startswith("error: ") and words in said[0]
    assert not (tmp_path / "out").exists()


def test_table_cells():
    assert (
        study_report._beside("0.931", 0.9, 3) == "0.931 (0.900)" and study_report._beside("0.931", None, 3) == "0.931"
    )
