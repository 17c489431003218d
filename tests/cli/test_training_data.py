"""train.py's three sources of data: what is loaded, what does not go together, and a step of training from each."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from acsgreg_tf.cli import train, training_data
from acsgreg_tf.cli.common import Parser
from acsgreg_tf.cohort.manifest import Sample, read_manifest, write_manifest
from acsgreg_tf.cohort.split import make_split, write_split
from acsgreg_tf.errors import InputError
from acsgreg_tf.training import PairBatches

SHAPE = (32, 32, 32)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """A manifest of seven people's L1 and L2, one of them cut, and a split of the others."""
    folder = tmp_path_factory.mktemp("cohort")
    rng = np.random.default_rng(0)
    samples = []
    for person in range(7):
        for level in ("L1", "L2"):
            mask = np.zeros(SHAPE, "uint8")
            mask[10 : 18 + person, 9 : 21 - person, 10:20] = 1
            names = [str(folder / f"{person}{level}_{end}.nii.gz") for end in ("ct", "seg")]
            for name, data in zip(names, ((mask * rng.uniform(0.4, 0.9, SHAPE)).astype("float32"), mask)):
                nib.save(nib.Nifti1Image(data, np.eye(4)), name)
            samples.append(Sample(f"p{person}", level, *names, "made", 1.0, "cut" if person == 6 else "yes"))
    write_manifest(folder / "manifest.csv", samples)
    write_split(
        folder / "split.json",
        make_split(samples[:12], "person", test_per_level=2, val_per_level=2),
        folder / "manifest.csv",
    )
    return folder


def options(*arguments):
    parser = Parser("train")
    training_data.add_options(parser)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args([str(a) for a in arguments])


def test_a_manifest_gives_its_whole_vertebrae_by_level(cohort):
    vertebrae, held_out = training_data.load(options("--manifest", cohort / "manifest.csv"))
    assert held_out is None and vertebrae.inshape == SHAPE and vertebrae.has_labels
    assert len(vertebrae) == 12 and len(vertebrae.pairs()) == 2 * 6 * 5
    few, _ = training_data.load(options("--manifest", cohort / "manifest.csv", "--pairs-per-sample", 2))
    assert len(few.pairs()) == 24


def test_parts_of_a_manifest_and_of_a_list(cohort, tmp_path):
    """The first three crops have a map of parts, their label as the body; the others have none."""
    names = [f"{person}L1" for person in range(5)]
    for name in names[:3]:
        label = nib.load(cohort / f"{name}_seg.nii.gz")
        parts = 50 * np.asarray(label.dataobj)
        nib.save(nib.Nifti1Image(parts.astype("uint8"), label.affine), cohort / f"{name}_parts.nii.gz")
    for end, known in (("ct", 5), ("seg", 5), ("parts", 3)):
        lines = [f"{cohort}/{name}_{end}.nii.gz" if i < known else "-" for i, name in enumerate(names)]
        (tmp_path / f"{end}.txt").write_text("\n".join(lines) + "\n")
    lists = ("--img-list", tmp_path / "ct.txt", "--seg-list", tmp_path / "seg.txt")
    with pytest.warns(UserWarning, match="without --group-list"):
        listed, _ = training_data.load(options(*lists, "--part-list", tmp_path / "parts.txt"))
    files = [[str(cohort / f"{name}_{end}.nii.gz") for end in ("ct", "seg", "parts")] for name in names]
    samples = [Sample(f"p{i}", "L1", *own[:2], whole="yes") for i, own in enumerate(files)]
    samples = [replace(s, parts=own[2]) if i < 3 else s for i, (s, own) in enumerate(zip(samples, files, strict=True))]
    write_manifest(tmp_path / "parts.csv", samples)
    assert [bool(sample.parts) for sample in read_manifest(tmp_path / "parts.csv")] == [True] * 3 + [False] * 2
    of_manifest, _ = training_data.load(options("--manifest", tmp_path / "parts.csv"))
    for vertebrae in (listed, of_manifest):
        assert vertebrae.has_parts and vertebrae.get_parts(3) is None
        np.testing.assert_array_equal(vertebrae.get_parts(2), 50 * vertebrae.get(2)[1])
    plain, _ = training_data.load(options("--manifest", cohort / "manifest.csv"))
    assert not plain.has_parts


def test_an_atlas_is_the_fixed_image_of_every_pair(cohort, tmp_path):
    for name in ("ct", "seg"):
        (tmp_path / f"{name}.txt").write_text("".join(f"{cohort}/{person}L1_{name}.nii.gz\n" for person in range(3)))
    atlas = [cohort / f"5L1_{name}.nii.gz" for name in ("ct", "seg")]
    listed = ("--img-list", tmp_path / "ct.txt", "--seg-list", tmp_path / "seg.txt")
    vertebrae, _ = training_data.load(options(*listed, "--atlas", atlas[0], "--atlas-seg", atlas[1]))
    assert vertebrae.pairs().tolist() == [[0, 1], [0, 2], [0, 3]]
    np.testing.assert_allclose(vertebrae.get(0)[0], nib.load(atlas[0]).get_fdata(), atol=1e-3)
    fixed = PairBatches(vertebrae, 1)[1][1]["m_d"]
    np.testing.assert_allclose(fixed[0, ..., 0], nib.load(atlas[0]).get_fdata(), atol=1e-3)
    for more in (("--atlas", atlas[0]), ("--atlas-seg", atlas[1])):
        with pytest.raises(InputError, match="--atlas-seg: "):
            training_data.load(options(*listed, *more))


def test_a_split_gives_its_train_and_val_parts(cohort):
    vertebrae, held_out = training_data.load(
        options("--manifest", cohort / "manifest.csv", "--split", cohort / "split.json")
    )
    assert len(vertebrae) == len(held_out) == 4
    assert not {name.split("/")[-1][0] for name in vertebrae.images} & {
        name.split("/")[-1][0] for name in held_out.images
    }


def test_a_person_on_both_sides_is_refused(cohort, tmp_path):
    saved = json.loads((cohort / "split.json").read_text())
    saved["manifest"] = str(cohort / "manifest.csv")
    moved = next(name for name in saved["train"] if name.endswith("L1_ct.nii.gz"))
    saved["train"].remove(moved)
    saved["test"].append(moved)
    (tmp_path / "split.json").write_text(json.dumps(saved))
    with pytest.raises(InputError, match=rf"split.json: p{moved[0]} \(L2\) stands in train and in test"):
        training_data.load(options("--manifest", cohort / "manifest.csv", "--split", tmp_path / "split.json"))


def test_generated_vertebrae(cohort):
    vertebrae, _ = training_data.load(options("--generate", 15, "--spacing", 4, "--data-processes", 0))
    assert len(vertebrae) == 15 and vertebrae.inshape == (32, 32, 16)
    assert vertebrae.get(3)[1].any()


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "required"),
        (["--generate", 5, "--manifest", "m.csv"], "not allowed with"),
        (["--generate", 5, "--split", "s.json"], "--split: goes with --manifest"),
        (["--manifest", "m.csv", "--check-people"], "--check-people: goes with --split"),
        (["--manifest", "m.csv", "--shapes", "s.csv"], "--shapes: goes with --generate"),
        (["--manifest", "m.csv", "--seg-list", "s.txt"], "--seg-list: goes with --img-list"),
        (["--manifest", "m.csv", "--part-list", "p.txt"], "--part-list: goes with --img-list"),
        (["--manifest", "m.csv", "--spacing", 2], "--spacing: goes with --generate"),
        (["--manifest", "gone.csv"], "gone.csv: no such file"),
        (["--generate", 1], "1 generated vertebrae"),
        (["--generate", 9, "--spacing", 3], "spacing 3"),
        (["--generate", 9, "--phantom-fraction", 2], "--phantom-fraction 2"),
        (["--generate", 9, "--shapes", "gone.csv"], "gone.csv"),
        (["--generate", 9, "--val-img-list", "v.txt"], "--val-seg-list must be given"),
        (["--generate", 9, "--val-seg-list", "v.txt"], "--val-seg-list: goes with --val-img-list"),
        (["--generate", 9, "--val-group-list", "v.txt"], "--val-group-list: goes with --val-img-list"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        training_data.load(options(*arguments))


def test_a_manifest_of_cut_vertebrae_only_is_refused(cohort, tmp_path):
    write_manifest(tmp_path / "m.csv", [Sample("p", "L1", notes="no CT")])
    with pytest.raises(InputError, match="m.csv: holds no whole vertebra to train on"):
        training_data.load(options("--manifest", tmp_path / "m.csv"))


@pytest.fixture
def trained(monkeypatch):
    """What train.py hands to `training.train`: a list of its arguments by name, one dict a call."""
    calls = []

    def train_nothing(network, vertebrae, recipe, model_dir, validation, **options):
        calls.append({"vertebrae": vertebrae, "recipe": recipe, "validation": validation} | options)

    monkeypatch.setattr("acsgreg_tf.training.train", train_nothing)
    return calls


def run(data, out):
    return train.main([str(a) for a in [*data, "--model-dir", out, "--size", "tiny", "--batch-size", 2]])


def test_train_hands_on_a_split_and_augments(cohort, tmp_path, trained, capsys):
    data = ["--manifest", cohort / "manifest.csv", "--split", cohort / "split.json", "--augment"]
    assert run(data, tmp_path / "run") == 0
    assert "4 vertebrae, 4 ordered pairs" in capsys.readouterr().out
    (call,) = trained
    assert call["recipe"].augment and len(call["validation"]) == 4
    batches = PairBatches(call["vertebrae"], 2, augment=call["recipe"].augment)
    assert batches.volumes(0)["fixed"].shape == (2, *SHAPE, 1)


def test_train_hands_on_generated_vertebrae(tmp_path, trained, capsys):
    data = ["--generate", 10, "--spacing", 2, "--seed", 3, "--data-processes", 0]
    assert run(data, tmp_path / "run") == 0
    assert "10 vertebrae, 10 ordered pairs" in capsys.readouterr().out
    (call,) = trained
    assert not call["recipe"].augment and call["recipe"].seed == 3 and call["validation"] is None
    volumes = PairBatches(call["vertebrae"], 2, seed=3).volumes(0)
    assert volumes["moving_seg"].shape == (2, 64, 64, 32, 1) and volumes["moving_seg"].any()
