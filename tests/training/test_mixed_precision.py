"""Mixed precision: half where the network computes, float32 where a voxel's place or a loss is at stake."""

import json

import keras
import numpy as np
import pytest

from acsgreg_tf import training
from acsgreg_tf.cohort.dataset import Vertebrae
from acsgreg_tf.errors import InputError
from acsgreg_tf.networks import ACSGRegNet, load
from acsgreg_tf.ops.affine import warp_affine
from acsgreg_tf.ops.fields import warp
from acsgreg_tf.training import Recipe
from acsgreg_tf.training.batches import batch_of
from tests.helpers import ball, losses_of_steps, policy

pytestmark = pytest.mark.trains

SHAPE = (16, 16, 16)
# Of a field that reaches 5 voxels. Numbers of 11 and of 8 bits.
APART = {"float16": 0.1, "bfloat16": 0.4}


def network():
    keras.utils.set_random_seed(0)
    return ACSGRegNet(
        SHAPE,
        affine_features=(4, 4),
        encoder_features=(4, 4),
        width=8,
        layers=1,
        heads=2,
        normalization="none",
        affine_normalization="instance",
        int_steps=4,
    )


def images(batch=1):
    texture = 0.6 + 0.3 * np.sin(np.indices(SHAPE).sum(0) * 0.9)[None, ..., None]
    pairs = {"fixed": ball(SHAPE, 5.5) * texture, "moving": ball(SHAPE, 4.5, (9, 7, 8)) * texture}
    labels = {f"{name}_seg": (image > 0).astype("float32") for name, image in pairs.items()}
    return {name: np.repeat(v, batch, 0).astype("float32") for name, v in {**pairs, **labels}.items()}


def outputs_of(net):
    result = net({name: images()[name] for name in ("fixed", "moving")}, training=False)
    assert {keras.backend.standardize_dtype(value.dtype) for value in result.values()} == {"float32"}
    return {name: keras.ops.convert_to_numpy(value) for name, value in result.items()}


@pytest.fixture(scope="module")
def single():
    """A float32 network whose field reaches 5 voxels, and its outputs."""
    net = network()
    last = net.get_layer("gfm").fuse
    for name in ("decoder_s_velocity", "decoder_c_velocity"):
        head = net.get_layer(name)
        head.set_weights([1e4 * weights for weights in head.get_weights()])
    factor = 5 / np.abs(outputs_of(net)["velocity"]).max()
    last.set_weights([factor * weights for weights in last.get_weights()])
    return net, outputs_of(net)


@pytest.mark.parametrize("dtype", APART)
def test_a_mixed_networks_field_is_that_of_its_float32_twin(single, dtype):
    with policy(f"mixed_{dtype}"):
        half = network()
        half.set_weights(single[0].get_weights())
        assert half.get_layer("encoder_0").conv.compute_dtype == dtype
        assert half.get_layer("cam").compute_dtype == dtype
        result = outputs_of(half)
    expected = single[1]
    assert np.abs(expected["phi"]).max() > 2
    apart = np.abs(result["phi"] - expected["phi"]).max()
    assert 0 < apart < APART[dtype]
    # The warps take the images as they are, not rounded: exactly what the same transforms give in float32.
    moving = images()["moving"]
    m_a = keras.ops.convert_to_numpy(warp_affine(moving, result["affine"]))
    np.testing.assert_allclose(result["m_a"], m_a, atol=1e-5)
    np.testing.assert_allclose(result["m_d"], keras.ops.convert_to_numpy(warp(m_a, result["phi"])), atol=1e-5)


@pytest.mark.parametrize("dtype", APART)
def test_steps_lower_the_loss_and_the_file_is_float32(tmp_path, dtype):
    recipe = Recipe(epochs=1, batch_size=2, window=5, lambdas=(0.1, 0.7, 0.001, 0.1, 1))
    with policy(f"mixed_{dtype}"):
        net = network()
        model = training.training_model(net, labels=True)
        training.compile_for(model, recipe, 5e-3, 20)
        scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        assert scaled == (dtype == "float16")
        inputs, targets = batch_of(images(2), model.output_names)
        losses = losses_of_steps(model, inputs, targets, 12)
        net.save(tmp_path / "net.h5")
        result = outputs_of(net)
    # A float16 step or two may go into finding the scale.
    assert np.isfinite(losses).all() and losses[-1] < losses[0] - 0.02
    again = load(tmp_path / "net.h5")
    assert {weight.dtype for weight in again.weights} == {"float32"}
    assert again.get_layer("encoder_0").conv.compute_dtype == "float32"
    assert np.abs(outputs_of(again)["phi"] - result["phi"]).max() < APART[dtype]


def test_a_resumed_run_keeps_its_precision(tmp_path):
    class Known(Vertebrae):
        def __init__(self):
            self.has_labels, self.groups, self.inshape, self.chosen = False, ["all"] * 2, SHAPE, None

        def __len__(self):
            return 2

        def names(self):
            return ["a", "b"]

    folder = training.RunFolder(tmp_path / "run")
    net = network()
    folder.save_state(net, training.Position(), Recipe())
    assert json.loads((tmp_path / "run" / "state.json").read_text(encoding="utf-8"))["recipe"]["precision"] == "float32"
    with policy("mixed_bfloat16"), pytest.raises(InputError, match="was trained with another precision"):
        training.train(network(), Known(), Recipe(), tmp_path / "run", resume=True)
