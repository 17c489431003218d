"""Training: the loss that it minimises, its files, and that a stopped run ends as one that was not stopped."""

import csv
import json
import shutil
from dataclasses import replace

import keras
import nibabel as nib
import numpy as np
import pytest
from keras import ops

from acsgreg_tf import training
from acsgreg_tf.cohort.dataset import Vertebrae
from acsgreg_tf.errors import InputError
from acsgreg_tf.networks import ACSGRegNet, load
from acsgreg_tf.ops.affine import warp_jointly
from acsgreg_tf.training import Recipe, RunOptions, learning_rate, training_model
from acsgreg_tf.training.batches import PairBatches
from tests.helpers import ball, noise

pytestmark = pytest.mark.trains

SHAPE = (16, 16, 16)
RECIPE = Recipe(epochs=2, batch_size=2, lr=2e-3, steps_per_epoch=3, window=5, lambdas=(0.1, 0.7, 0.01, 0.1, 0.5))


def network(seed=0):
    keras.utils.set_random_seed(seed)
    return ACSGRegNet(
        SHAPE, affine_features=(4, 4), encoder_features=(4, 4), width=8, layers=1, heads=2, normalization="none"
    )


@pytest.fixture(scope="module")
def vertebrae(tmp_path_factory):
    """Four textured balls of different sizes and places."""
    folder, images, labels = tmp_path_factory.mktemp("crops"), [], []
    texture = 0.6 + 0.3 * np.sin(np.indices(SHAPE).sum(0) * 0.9)
    for i, (radius, x) in enumerate(((4, 7), (5, 8), (4.5, 8.5), (5.5, 7.5))):
        mask = ball(SHAPE, radius, (x, 8, 7))[0, ..., 0]
        for names, volume in ((images, mask * texture), (labels, (mask > 0.5).astype("uint8"))):
            names.append(str(folder / f"{i}_{volume.dtype}.nii.gz"))
            nib.save(nib.Nifti1Image(volume.astype("float32"), np.eye(4)), names[-1])
    return Vertebrae(images, labels)


def run(folder, vertebrae, net=None, recipe=RECIPE, callbacks=(), **arguments):
    net = net or network()
    options = RunOptions(tensorboard=False, verbose=0, callbacks=callbacks)
    training.train(net, vertebrae, recipe, folder, options=options, **arguments)
    return net


def state_of(folder):
    return json.loads((folder / "state.json").read_text(encoding="utf-8"))


def rows(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(vertebrae, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return run(folder, vertebrae), folder


def test_total_is_the_weighted_sum_of_the_paper(vertebrae):
    net = network()
    model = training_model(net, labels=True)
    training.compile_for(model, RECIPE, 1e-3, 10)
    made = len(model.metrics_variables)
    inputs, targets = PairBatches(vertebrae, 2)[0]
    result = model.evaluate(inputs, targets, verbose=0, return_dict=True)
    assert len(model.metrics_variables) == made  # one that the first step makes would have it traced twice
    names = ("m_a", "m_d", "phi", "m_a_seg", "m_d_seg")
    parts = [result[f"{name}_loss"] for name in names]
    assert result["loss"] == pytest.approx(np.dot(parts, RECIPE.lambdas), abs=1e-5)
    # At the start phi is zero, so both stages score the same, and nothing is rough.
    assert parts[0] == pytest.approx(parts[1], abs=1e-3) and parts[0] < 0
    assert parts[2] == pytest.approx(0, abs=1e-6)
    overlap = np.array(targets["m_a_seg"]), np.array(inputs["moving_seg"])
    dice = np.mean([2 * (f * m).sum() / (f.sum() + m.sum()) for f, m in zip(*overlap)])
    assert parts[3] == pytest.approx(1 - dice, abs=0.02)


def test_without_labels_the_dice_terms_are_absent(vertebrae):
    assert set(training_model(network(), labels=False).output_names) == {"m_a", "m_d", "phi"}


def test_a_term_of_weight_zero_is_left_out():
    losses, _ = training.losses_of(Recipe(lambdas=(0, 1, 0, 0, 1)), ["m_a", "m_d", "phi", "m_a_seg", "m_d_seg"])
    assert [name for name, loss in losses.items() if loss is not None] == ["m_d", "m_d_seg"]
    with pytest.raises(InputError, match="leave no loss"):
        training.losses_of(Recipe(lambdas=(0, 1, 0, 0, 1)), ["m_a", "m_a_seg"])


def test_loss_falls(vertebrae, tmp_path):
    recipe = Recipe(epochs=6, batch_size=4, lr=5e-3, steps_per_epoch=5, window=5, lambdas=(0.1, 0.7, 0.001, 0.1, 1))
    run(tmp_path / "run", vertebrae, recipe=recipe)
    log = [float(row["loss"]) for row in rows(tmp_path / "run" / "log-joint.csv")]
    assert len(log) == 6 and log[-1] < log[0] - 0.05


def test_files_of_a_run(finished):
    net, folder = finished
    log = rows(folder / "log-joint.csv")
    assert [int(row["epoch"]) for row in log] == [1, 2] and [int(row["step"]) for row in log] == [3, 6]
    assert {"loss", "m_a_loss", "m_d_loss", "phi_loss", "m_a_seg_loss", "m_d_seg_loss"} <= set(log[0])
    last = load(folder / "last.h5")
    for ours, theirs in zip(net.weights, last.weights):
        np.testing.assert_array_equal(ours, theirs)
    assert (folder / "best.h5").exists()
    assert state_of(folder)["step"] == 6
    assert len(list(folder.glob("state-*.weights.h5"))) == 1


def test_a_used_folder_is_refused_and_emptied_when_asked(finished, vertebrae, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished[1], folder)
    (folder / "notes.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError, match=r"run: holds a run already; --resume .* --overwrite"):
        run(folder, vertebrae)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    other = replace(RECIPE, epochs=1, lambdas=(0.1, 0.7, 0.01, 0, 0))
    with pytest.raises(InputError, match="give one of the two"):
        run(folder, vertebrae, recipe=other, resume=True, overwrite=True)
    run(folder, vertebrae, recipe=other, overwrite=True)
    assert "m_a_seg_loss" not in rows(folder / "log-joint.csv")[0] and len(rows(folder / "log-joint.csv")) == 1
    assert (folder / "notes.txt").read_text() == "mine" and len(list(folder.glob("state-*.weights.h5"))) == 1


class Stop(keras.callbacks.Callback):
    """Ctrl-C after some steps."""

    def __init__(self, after):
        super().__init__()
        self.left = after

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_stopped_and_resumed_ends_as_not_stopped(finished, vertebrae, tmp_path):
    """Stopped within the first epoch and again within the second; each time another network goes on."""
    folder = tmp_path / "run"
    for seed, step in ((0, 2), (5, 4)):
        with pytest.raises(KeyboardInterrupt):
            run(folder, vertebrae, network(seed), resume=step > 2, callbacks=[Stop(2)])
        assert state_of(folder)["step"] == step
    resumed = run(folder, vertebrae, net=network(seed=9), resume=True)
    for ours, theirs in zip(resumed.weights, finished[0].weights):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
    log, expected = rows(folder / "log-joint.csv"), rows(finished[1] / "log-joint.csv")
    assert [int(row["step"]) for row in log] == [3, 6]
    for row, other in zip(log, expected):
        assert float(row["loss"]) == pytest.approx(float(other["loss"]), abs=1e-5), "the mean of all its steps"


class StopAtJoint(keras.callbacks.Callback):
    """Ctrl-C between the stages."""

    def on_train_begin(self, logs=None):
        if "m_d" in self.model.output_names:
            raise KeyboardInterrupt


def values(net):
    """{weight's path: its value, numpy}."""
    return {weight.path: value for weight, value in zip(net.weights, net.get_weights(), strict=True)}


def test_the_affine_stage_comes_first_changes_affine_net_alone_and_survives_a_stop(vertebrae, tmp_path):
    recipe = replace(RECIPE, epochs=1, steps_per_epoch=2, affine_epochs=2, affine_lr=1e-2, lr=1e-9)
    net = network()
    before = values(net)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", vertebrae, net, recipe, callbacks=[StopAtJoint()])
    after = values(net)
    moved = {path for path in after if np.abs(after[path] - before[path]).max() > 1e-4}
    assert moved and moved <= {weight.path for weight in net.affine_net.weights}
    assert len(rows(tmp_path / "run" / "log-affine.csv")) == 2
    assert not (tmp_path / "run" / "log-joint.csv").exists()
    resumed = run(tmp_path / "run", vertebrae, network(seed=9), recipe, resume=True)
    for ours, theirs in zip(resumed.affine_net.get_weights(), net.affine_net.get_weights()):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert len(rows(tmp_path / "run" / "log-joint.csv")) == 1


def test_resume_refuses_what_does_not_fit(finished, vertebrae, tmp_path):
    with pytest.raises(InputError, match="nothing to resume"):
        run(tmp_path / "none", vertebrae, resume=True)
    _, folder = finished
    with pytest.raises(InputError, match="another seed"):
        run(folder, vertebrae, recipe=replace(RECIPE, seed=5), resume=True)
    copy = tmp_path / "damaged"
    copy.mkdir()
    whole = state_of(folder)
    (copy / whole["weights"]).write_bytes((folder / whole["weights"]).read_bytes()[:5000])
    for changes in ({"stage": "foo"}, {"step": -1}, {"step": "3"}, {"best": "least"}, {"means": 3}, {"weights": 5}):
        (copy / "state.json").write_text(json.dumps(whole | changes))
        with pytest.raises(InputError, match="damaged training state"):
            run(copy, vertebrae, resume=True)
    (copy / "state.json").write_text("{")
    with pytest.raises(InputError, match="damaged training state"):
        run(copy, vertebrae, resume=True)
    (copy / "state.json").write_text(json.dumps(whole | {"step": 5}))
    with pytest.raises(InputError, match=r"weights\.h5: does not fit"):
        run(copy, vertebrae, resume=True)


def test_what_a_killed_run_left_half_written_is_removed(vertebrae, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (".0123abcd.last.h5", ".0123abcd.state-joint-0000003.weights.h5"):
        (folder / name).write_bytes(b"half")
    run(folder, vertebrae, recipe=replace(RECIPE, epochs=1, steps_per_epoch=1))
    assert not list(folder.glob(".*"))


def test_a_loss_that_becomes_nan_leaves_what_was_saved_before(vertebrae, tmp_path):
    net = network()

    class Spoil(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                net.get_layer("projection").bias.assign([np.nan] * 8)

    with pytest.raises(InputError, match="the loss became NaN at step 4"):
        run(tmp_path / "run", vertebrae, net, callbacks=[Spoil()])
    saved = load(tmp_path / "run" / "last.h5")
    assert all(np.isfinite(weights).all() for weights in saved.get_weights())
    assert state_of(tmp_path / "run")["step"] == 3


def test_a_callback_may_end_a_run(vertebrae, tmp_path):
    class Enough(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    run(tmp_path / "run", vertebrae, callbacks=[Enough()])
    assert state_of(tmp_path / "run")["step"] == 3 and len(rows(tmp_path / "run" / "log-joint.csv")) == 1


def test_a_resumed_run_keeps_its_vertebrae(vertebrae, tmp_path):
    """Otherwise people who were held out are trained on without a word."""
    fewer = Vertebrae(vertebrae.images[:3], vertebrae.labels[:3])
    run(tmp_path / "run", fewer, validation=vertebrae)
    recipe = replace(RECIPE, epochs=3)
    for data, held_out in ((vertebrae, vertebrae), (fewer, None)):
        with pytest.raises(InputError, match=r"was trained with another set of vertebrae \(data or split\)"):
            run(tmp_path / "run", data, recipe=recipe, validation=held_out, resume=True)
    run(tmp_path / "run", fewer, recipe=recipe, validation=vertebrae, resume=True)


def test_vertebrae_that_do_not_fit(vertebrae, tmp_path):
    class Other:
        inshape, has_labels = (8, 8, 8), True

    class Unlabelled:
        inshape, has_labels = SHAPE, False

    with pytest.raises(InputError, match=r"the vertebrae have shape \(8, 8, 8\), the network \(16, 16, 16\)"):
        training.train(network(), Other(), RECIPE, tmp_path / "run")
    with pytest.raises(InputError, match="validation: must have labels where"):
        training.train(network(), vertebrae, RECIPE, tmp_path / "run", Unlabelled())
    with pytest.raises(InputError, match="save_every 0: must be at least 1"):
        RunOptions(save_every=0)
    with pytest.raises(InputError, match="lr: inf"):
        Recipe(lr=float("inf"))
    with pytest.raises(InputError, match="seed: -1"):
        Recipe(seed=-1)
    assert not (tmp_path / "run").exists()


def test_a_loss_that_becomes_nan_is_refused(vertebrae, tmp_path):
    net = network()
    net.get_layer("projection").bias.assign([np.nan] * 8)
    with pytest.raises(InputError, match="NaN"):
        run(tmp_path / "run", vertebrae, net)


@pytest.mark.parametrize(
    "fault",
    [
        {"epochs": 0},
        {"window": 4},
        {"lr": -1.0},
        {"lambdas": (1, 2)},
        {"schedule": "step"},
        {"initial_epoch": 99},
        {"label_loss": "hausdorff"},
    ],
)
def test_recipe_refuses_what_it_cannot_use(fault):
    with pytest.raises(InputError, match=next(iter(fault))):
        Recipe(**fault)


def test_learning_rate_rises_to_its_peak_and_falls_to_zero():
    cosine = learning_rate(Recipe(schedule="cosine", warmup_steps=10), 1.0, total=109)
    assert [float(cosine(step)) for step in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert float(cosine(59)) == pytest.approx(0.5, abs=1e-6)  # half of the 100 steps after the peak
    assert float(cosine(109)) == pytest.approx(0.0, abs=1e-6)
    constant = learning_rate(Recipe(warmup_steps=10), 1.0, total=110)
    assert [float(constant(step)) for step in (0, 4, 9, 60, 109)] == pytest.approx([0.1, 0.5, 1, 1, 1])
    assert [float(learning_rate(Recipe(), 2.0, 10)(step)) for step in (0, 9)] == pytest.approx([2, 2])


def test_warped_once_and_pulled_by_the_distance_the_loss_falls(vertebrae, tmp_path):
    recipe = Recipe(
        epochs=4,
        batch_size=4,
        lr=5e-3,
        steps_per_epoch=5,
        window=5,
        lambdas=(0.1, 0.7, 0.001, 0.1, 1),
        warp_once=True,
        label_loss="distance",
    )
    run(tmp_path / "run", vertebrae, recipe=recipe, validation=vertebrae)
    log = rows(tmp_path / "run" / "log-joint.csv")
    assert state_of(tmp_path / "run")["best"] == pytest.approx(min(float(row["val_loss"]) for row in log))
    for name in ("loss", "m_d_seg_loss"):
        assert float(log[-1][name]) < float(log[0][name]) - 0.05
    # Held-out pairs are measured by the same distance: not as masks, of which no sum is so large.
    assert float(log[0]["val_m_d_seg_loss"]) == pytest.approx(float(log[0]["m_d_seg_loss"]), rel=0.5)
    with pytest.raises(InputError, match="another warp_once"):
        run(tmp_path / "run", vertebrae, recipe=replace(recipe, warp_once=False), resume=True)


def test_warped_once_the_moved_pair_is_sampled_as_register_samples_it(vertebrae):
    net = network()
    model = training_model(net, labels=True, warp_once=True)
    twice = training_model(net, labels=True)
    assert set(model.output_names) == set(twice.output_names)
    inputs, _ = PairBatches(vertebrae, 2)[0]
    net.set_weights([weight + noise(weight.shape, 0.05, seed) for seed, weight in enumerate(net.get_weights())])
    pair = {k: inputs[k] for k in ("fixed", "moving")}
    result, other, answer = (
        {name: ops.convert_to_numpy(value) for name, value in part(given).items()}
        for part, given in ((model, inputs), (twice, inputs), (net, pair))
    )
    for name, given in (("m_d", "moving"), ("m_d_seg", "moving_seg")):
        expected = ops.convert_to_numpy(warp_jointly(inputs[given], answer["affine"], answer["phi"]))
        np.testing.assert_allclose(result[name], expected, atol=1e-5)
        assert np.abs(result[name] - other[name]).max() > 1e-3  # sampled once, not twice
    np.testing.assert_array_equal(result["m_a"], other["m_a"])


def test_accumulated_steps_of_one_pair_are_one_step_of_all(vertebrae):
    inputs, targets = PairBatches(vertebrae, 4)[0]
    whole, parts = network(), network()
    for net, accumulate in ((whole, 1), (parts, 4)):
        # Adam alone would hide a sum in place of a mean; a tight norm shows that the mean is clipped, not its parts.
        recipe = replace(RECIPE, accumulate=accumulate, clip_norm=0.5)
        model = training_model(net, labels=True)
        training.compile_for(model, recipe, 1e-2, 8)
        before = net.get_weights()
        for step in range(accumulate):
            some = slice(None) if accumulate == 1 else slice(step, step + 1)
            model.train_on_batch(*({name: value[some] for name, value in part.items()} for part in (inputs, targets)))
            if step + 1 < accumulate:
                assert all(np.array_equal(new, old) for new, old in zip(net.get_weights(), before))
    moved = 0.0
    for ours, theirs, old in zip(parts.get_weights(), whole.get_weights(), before):
        moved = max(moved, float(np.abs(theirs - old).max()))
        np.testing.assert_allclose(ours - old, theirs - old, atol=2e-4)
    assert moved > 5e-3


def test_the_rate_of_accumulated_steps_goes_by_updates():
    """A cosine over a run ends with the run, and a warm-up counts updates."""
    rates = {}
    for accumulate in (1, 4):
        recipe = Recipe(schedule="cosine", warmup_steps=3, accumulate=accumulate)
        model = training_model(network(), labels=False)
        training.compile_for(model, recipe, 1.0, 10 * accumulate)
        schedule = keras.optimizers.schedules.deserialize(
            keras.optimizers.schedules.serialize(model.optimizer._learning_rate)
        )
        rates[accumulate] = [float(schedule(ops.cast(step, "int32"))) for step in range(10 * accumulate)]
    np.testing.assert_allclose(rates[4], np.repeat(rates[1], 4), atol=1e-6)
    assert rates[4][8] == 1 and 0.4 < rates[4][24] < 0.6 and 0 < rates[4][-1] < 0.1


@pytest.mark.slow
def test_a_run_stopped_within_a_group_of_accumulated_steps_resumes_it(vertebrae, tmp_path):
    recipe = replace(RECIPE, batch_size=1, epochs=1, steps_per_epoch=6, accumulate=3)
    whole = run(tmp_path / "whole", vertebrae, recipe=recipe)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", vertebrae, recipe=recipe, callbacks=[Stop(after=4)])
    resumed = run(tmp_path / "run", vertebrae, network(seed=9), recipe, resume=True)
    for ours, theirs in zip(resumed.get_weights(), whole.get_weights()):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
