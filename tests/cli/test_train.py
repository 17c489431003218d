"""The command line of train.py: options that do what they say, and faults in one line."""

import keras
import nibabel as nib
import numpy as np
import pytest

from acsgreg_tf.cli.train import main
from acsgreg_tf.losses import PAPER_LAMBDAS
from acsgreg_tf.networks import load

pytestmark = pytest.mark.trains

SHAPE = (32, 32, 32)


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crops")
    rng = np.random.default_rng(0)
    for i in range(3):
        mask = np.zeros(SHAPE, "uint8")
        mask[10 : 20 + i, 9 : 21 - i, 10:20] = 1
        nib.save(
            nib.Nifti1Image((mask * rng.uniform(0.4, 0.9, SHAPE)).astype("float32"), np.eye(4)),
            folder / f"{i}_ct.nii.gz",
        )
        nib.save(nib.Nifti1Image(mask, np.eye(4)), folder / f"{i}_seg.nii.gz")
    (folder / "img.txt").write_text("0\n1\n2\n")
    (folder / "levels.txt").write_text("L1\nL1\nL1\n")
    (folder / "seg.txt").write_text("0_seg.nii.gz\n1_seg.nii.gz\n2_seg.nii.gz\n")
    return folder


def arguments(lists, out, *more):
    return [
        "--img-list",
        str(lists / "img.txt"),
        "--img-suffix",
        "_ct.nii.gz",
        "--seg-list",
        str(lists / "seg.txt"),
        "--group-list",
        str(lists / "levels.txt"),
        "--size",
        "tiny",
        "--model-dir",
        str(out),
        "--epochs",
        "1",
        "--steps-per-epoch",
        "1",
        "--batch-size",
        "1",
        "--window",
        "5",
        "--no-tensorboard",
        *more,
    ]


def test_trains_and_leaves_a_network(lists, tmp_path, capsys):
    readings = ("--dropout", "0.1", "--gate", "softmax", "--softmax-scale", "width")
    assert main(arguments(lists, tmp_path / "run", *readings)) == 0
    shown = capsys.readouterr().out
    assert "3 vertebrae, 6 ordered pairs" in shown and shown.count("compiling the first step") == 1
    model = load(tmp_path / "run" / "best.h5")
    assert type(model).__name__ == "ACSGRegNet" and model.inshape == SHAPE and model.get_config()["dropout"] == 0.1
    assert main(arguments(lists, tmp_path / "run", "--resume", *readings)) == 0
    assert main(arguments(lists, tmp_path / "run", *readings)) == 2
    assert "holds a run already; --resume goes on with it, --overwrite replaces it" in capsys.readouterr().err
    assert main(arguments(lists, tmp_path / "run", "-q", "--overwrite")) == 0
    assert capsys.readouterr() == ("", "")
    without = arguments(lists, tmp_path / "other", "-q", *readings)
    at = without.index("--group-list")
    assert main(without[:at] + without[at + 2 :]) == 0
    assert capsys.readouterr().err.startswith("warning: --img-list without --group-list: every image is paired")
    assert load(tmp_path / "run" / "best.h5").get_config()["dropout"] == 0


@pytest.mark.tensorflow
def test_avoxelmorph_with_tensorboard_from_saved_weights(lists, tmp_path):
    options = [
        o
        for o in arguments(lists, tmp_path / "run", "--model", "avoxelmorph", "--int-steps", "4")
        if o != "--no-tensorboard"
    ]
    assert main(options) == 0
    assert list((tmp_path / "run" / "tensorboard" / "joint").rglob("events*"))
    start = tmp_path / "run" / "last.h5"
    assert load(start).get_config()["int_steps"] == 4
    assert main(arguments(lists, tmp_path / "next", "--load-weights", str(start), "--lr", "1e-12")) == 0
    for ours, theirs in zip(load(tmp_path / "next" / "last.h5").trainable_weights, load(start).trainable_weights):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(
    "more, words",
    [
        (["--img-list", "gone.txt"], "gone.txt"),
        (["--lambdas", "1", "1"], "--lambdas"),
        (["--window", "4"], "window"),
        (["--accumulate", "0"], "--accumulate"),
        (["--load-weights", "gone.h5"], "gone.h5"),
        (["--val-img-list", "x.txt"], "--val-seg-list"),
        (["--grow", "gone.h5"], "--grow gone.h5"),
        (["--grow", "gone.h5", "--load-weights", "gone.h5"], "--load-weights: not allowed with argument --grow"),
        (["--resume"], "nothing to resume"),
        (["--field", "displacement"], "--field: goes with --model avoxelmorph"),
        (["--model", "avoxelmorph", "--gate", "none"], "--gate: goes with --model acsgregnet"),
        (["--load-weights", "gone.h5", "--slope", "0.1"], "--slope: a saved network"),
        (["--multichannel"], "--multichannel: voxelmorph's flag; here images are CT with one channel"),
        (["--bidir"], "trained in both orders"),
        (["--legacy-image-sigma", "0.02"], "1/sigma^2"),
        (["--use-probs"], "--use-probs: voxelmorph's flag; here the networks estimate a velocity"),
        (["--lambda", "0.1", "--lambdas", "1", "1", "1", "1", "1"], "--lambdas: not allowed with argument --lambda"),
        (["--lambda", "-1"], "lambdas"),
        (["--enc", "0", "4"], "--enc 0: must be at least 1"),
        (["--enc", "4", "4", "--dec", "4"], "--dec: "),
        (["--load-weights", "gone.h5", "--enc", "4"], "--enc: a saved network"),
        (["--atlas", "a.nii.gz"], "--group-list: goes without --atlas"),
        (["--dropout", "1"], "error: --dropout must be at least 0"),
        (["--int-steps", "40"], "error: --int-steps must be 20 at most"),
        (["--model-dir", "no/such/folder"], "no/such/folder"),
    ],
)
def test_faults_are_one_line_and_code_2(lists, tmp_path, capsys, more, words):
    assert main(arguments(lists, tmp_path / "run", *more)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and words in lines[0]


@pytest.mark.parametrize(
    "options, expected",
    [
        (
            "--affine-normalization none --slope 0.1 --dropout 0.2 --mlp-width 9 --softmax-scale width --gate none",
            {
                "affine_normalization": "none",
                "slope": 0.1,
                "dropout": 0.2,
                "mlp_width": 9,
                "softmax_scale": "width",
                "gate": "none",
            },
        ),
        ("--model avoxelmorph --slope 0.1 --decoder half", {"slope": 0.1, "decoder": "half", "field": "velocity"}),
        ("--enc 4 8 8 --dec 8 4 4", {"encoder_features": (4, 8, 8), "decoder_features": (8, 4, 4)}),
        (
            "--model avoxelmorph --enc 4 4 --dec 8 8 4",
            {"encoder_features": (4, 4), "decoder_features": (8, 8, 4), "affine_features": (4, 4, 8, 8, 8)},
        ),
        ("--model avoxelmorph --field displacement", {"field": "displacement", "int_steps": 0, "decoder": "full"}),
    ],
)
def test_readings_of_the_paper_reach_the_network(lists, tmp_path, monkeypatch, options, expected):
    networks = []
    monkeypatch.setattr("acsgreg_tf.training.train", lambda network, *args, **options: networks.append(network))
    assert main(arguments(lists, tmp_path / "run", *options.split())) == 0
    config = networks[0].get_config()
    assert {name: config[name] for name in expected} == expected


def test_a_larger_network_is_grown_from_a_smaller_one(lists, tmp_path, monkeypatch, capsys):
    networks = []
    monkeypatch.setattr("acsgreg_tf.training.train", lambda network, *args, **options: networks.append(network))
    small = tmp_path / "small.h5"
    assert main(arguments(lists, tmp_path / "run", "--seed", "5")) == 0
    networks[0].save(small)
    assert main(arguments(lists, tmp_path / "run", "--grow", str(small), "--mlp-width", "7")) == 0
    shown = capsys.readouterr().out
    assert "small.h5: the affine is the same; begin anew: " in shown
    assert all(name in shown for name in ("sam_fixed", "sam_moving", "cam"))
    for ours, theirs in zip(networks[1].affine_net.get_weights(), networks[0].affine_net.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert main(arguments(lists, tmp_path / "run", "--grow", str(small), "--gate", "none")) == 2
    assert "small.h5: gate: sigmoid cannot grow into none" in capsys.readouterr().err


def test_lambda_is_the_weight_of_smoothness_alone(lists, tmp_path, monkeypatch):
    recipes = []
    monkeypatch.setattr(
        "acsgreg_tf.training.train", lambda network, data, recipe, *args, **options: recipes.append(recipe)
    )
    for options in (("--lambda", "0.05"), ()):
        assert main(arguments(lists, tmp_path / "run", *options)) == 0
    assert [recipe.lambdas for recipe in recipes] == [(0.3, 0.7, 0.05, 0.01, 0.1), PAPER_LAMBDAS]


def test_a_shape_that_the_strides_do_not_divide_is_refused(lists, tmp_path, capsys):
    odd = tmp_path / "odd"
    odd.mkdir()
    for i in range(2):
        nib.save(nib.Nifti1Image(np.full((30, 32, 32), 0.5, "float32"), np.eye(4)), odd / f"{i}.nii.gz")
    (odd / "img.txt").write_text("0.nii.gz\n1.nii.gz\n")
    assert main(["--img-list", str(odd / "img.txt"), "--size", "tiny", "--model-dir", str(tmp_path / "run")]) == 2
    assert "divisible by 32" in capsys.readouterr().err


def test_mixed_precision_reaches_the_network_and_leaves_nothing_behind(lists, tmp_path, monkeypatch):
    networks = []
    monkeypatch.setattr("acsgreg_tf.training.train", lambda network, *args, **options: networks.append(network))
    assert main(arguments(lists, tmp_path / "run", "--mixed-precision", "bfloat16")) == 0
    assert networks[0].get_layer("encoder_0").conv.compute_dtype == "bfloat16"
    assert networks[0].get_layer("m_d").compute_dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"
