"""What every network does: outputs by name, a start at the identity, gradients to every weight, a loss that falls."""

import functools

import keras
import numpy as np
import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.losses import LNCC, Diffusion
from acsgreg_tf.networks import SIZES
from acsgreg_tf.ops.affine import to_displacement
from acsgreg_tf.ops.fields import integrate, resize_displacement, warp
from acsgreg_tf.training.batches import batch_of
from tests.helpers import in_graph, losses_of_steps, weight_slopes
from tests.keras_cases import MIXED, check_network
from tests.networks.cases import DEFORMABLE, HALF, NETWORKS, SHAPE, all_layers, make, outputs_of, pair, randomise

JOINT = ["acsgregnet", "avoxelmorph"]


def smooth_pair():
    """The pair of `pair`, doubled to a batch whose second sample goes the other way."""
    one = pair()
    return {name: np.concatenate([one[name], one[other]]) for name, other in (("fixed", "moving"), ("moving", "fixed"))}


@pytest.fixture(scope="module", params=JOINT)
def network(request):
    keras.utils.set_random_seed(1)
    return make(request.param)


@pytest.fixture(scope="module")
def moved(network):
    """The same network with weights that move something, and its outputs for a batch of two."""
    again = type(network).from_config(network.get_config())
    again.set_weights(network.get_weights())
    result = outputs_of(randomise(again), smooth_pair())
    assert all(0.3 < np.ptp(result[name]) < 2 for name in ("m_a", "m_d"))  # images still
    assert all(0.05 < np.abs(result[name]).max() < 8 for name in ("velocity", "phi"))
    return again, result


def test_outputs_by_name_shape_and_dtype(moved):
    shapes = {"m_a": (*SHAPE, 1), "m_d": (*SHAPE, 1), "affine": (3, 4), "velocity": (*HALF, 3), "phi": (*SHAPE, 3)}
    result = moved[1]
    assert {name: value.shape for name, value in result.items()} == {n: (2, *s) for n, s in shapes.items()}
    assert {value.dtype for value in result.values()} == {np.dtype("float32")}
    assert {name: tuple(t.shape[1:]) for name, t in moved[0].output.items()} == shapes
    assert sorted(moved[0].input) == ["fixed", "moving"] and moved[0].inshape == SHAPE


def test_lists_are_refused_where_names_are_expected(network):
    """voxelmorph's order is [moving, fixed], and Keras would sort a list as fixed, moving."""
    images = smooth_pair()
    both = [images["moving"], images["fixed"]]
    evaluated = (network.predict, network.evaluate, network.fit, network.predict_on_batch, network.train_on_batch)
    for call in (network, *evaluated, network.test_on_batch, network.affine_net):
        with pytest.raises(InputError, match='inputs go by name, {"fixed": ..., "moving": ...}'):
            call(both)
    with pytest.raises(InputError, match='loss goes by the outputs\' names, {"m_a": ..., "m_d": ...'):
        network.compile("adam", ["mse", None])
    by_name = {name: images[name] for name in ("moving", "fixed")}  # in whatever order
    expected = outputs_of(network, images)
    for name, value in network.predict(by_name, verbose=0).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-5)


def test_it_starts_near_the_identity(network):
    inputs = pair()
    result = outputs_of(network, inputs)
    assert np.abs(result["phi"]).max() < 1e-2 and np.abs(result["velocity"]).max() < 1e-2
    assert np.abs(np.array(to_displacement(result["affine"], SHAPE))).max() < 2
    np.testing.assert_allclose(result["m_d"], result["m_a"], atol=1e-2)
    assert np.abs(result["m_d"] - inputs["moving"]).mean() < 0.1 * np.abs(inputs["moving"]).mean() + 0.02


def test_outputs_belong_together(moved):
    result, inputs = moved[1], smooth_pair()
    np.testing.assert_allclose(
        warp(inputs["moving"], to_displacement(result["affine"], SHAPE)), result["m_a"], atol=1e-4
    )
    np.testing.assert_allclose(resize_displacement(integrate(result["velocity"]), SHAPE), result["phi"], atol=1e-4)
    np.testing.assert_allclose(warp(result["m_a"], result["phi"]), result["m_d"], atol=1e-4)


def test_the_deformable_net_goes_on_from_another_affine(moved):
    """From its own affine: its velocity; from the identity: that of a network whose AffineNet returns the identity."""
    network, result = moved
    images = smooth_pair()
    own = network.deformable_net([images["fixed"], result["m_a"]])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(own), result["velocity"], atol=1e-5)
    identity = np.tile(np.eye(3, 4, dtype="float32"), (2, 1, 1))
    other = keras.ops.convert_to_numpy(network.deformable_net([images["fixed"], images["moving"]]))
    still = type(network).from_config(network.get_config())
    still.set_weights(network.get_weights())
    for weight in still.affine_net.get_layer("matrix").weights:
        weight.assign(np.zeros(weight.shape))
    expected = outputs_of(still, smooth_pair())
    np.testing.assert_array_equal(expected["affine"], identity)
    np.testing.assert_allclose(other, expected["velocity"], atol=1e-5)
    assert np.abs(other - result["velocity"]).max() > 1e-3


def test_samples_of_a_batch_do_not_mix(moved):
    network, result = moved
    alone = outputs_of(network, {name: image[1:] for name, image in smooth_pair().items()})
    for name, value in alone.items():
        np.testing.assert_allclose(value, result[name][1:], atol=1e-4, err_msg=name)


def test_in_a_graph_it_gives_the_same(moved):
    network, result = moved
    for name, value in in_graph(network)(smooth_pair()).items():
        np.testing.assert_allclose(value, result[name], atol=1e-4, err_msg=name)


def test_fixed_and_moving_both_matter(moved):
    network, result = moved
    for name in ("fixed", "moving"):
        changed = smooth_pair()
        changed[name] = changed[name][:, ::-1]
        assert np.abs(outputs_of(network, changed)["velocity"] - result["velocity"]).max() > 1e-4, name


def losses_of(outputs, fixed):
    return (
        0.3 * LNCC(5)(fixed, outputs["m_a"])
        + 0.7 * LNCC(5)(fixed, outputs["m_d"])
        + 0.001 * Diffusion()(0.0, outputs["phi"])
    )


@pytest.mark.parametrize("which", JOINT)
def test_a_gradient_reaches_every_weight(which):
    keras.utils.set_random_seed(2)
    # Without normalisation: it would take away the effect of the biases before it.
    network, inputs = make(which, normalization="none"), pair()
    # The heads start at nearly nothing; where they do something, all that is behind them must get its share.
    randomise(network, 0.02)
    result = weight_slopes(network, inputs, lambda outputs: losses_of(outputs, inputs["fixed"]))
    for weight, slope in zip(network.trainable_weights, result, strict=True):
        assert slope is not None, weight.path
        assert np.isfinite(slope).all() and np.abs(slope).max() > 0, weight.path


@pytest.mark.trains
@pytest.mark.parametrize("which", JOINT)
def test_the_loss_falls(which):
    keras.utils.set_random_seed(3)
    # Most of the time goes to tracing.
    small = {"layers": 1, "normalization": "none", "affine_normalization": "batch"} if which == "acsgregnet" else {}
    network, inputs = make(which, encoder_features=(4, 5), int_steps=3, **small), pair()
    outputs = network.output
    model = keras.Model(network.input, {name: outputs[name] for name in ("m_a", "m_d", "phi")})
    model.compile(
        keras.optimizers.Adam(3e-3),
        {"m_a": LNCC(5), "m_d": LNCC(5), "phi": Diffusion()},
        loss_weights={"m_a": 0.3, "m_d": 0.7, "phi": 0.001},
        jit_compile=False,
    )
    _, targets = batch_of(inputs)
    losses = losses_of_steps(model, inputs, targets, 15)
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] - 0.05 and np.mean(losses[-5:]) < np.mean(losses[:5])


@pytest.mark.parametrize("which", NETWORKS)
def test_it_is_a_good_network(which):
    options = {"normalization": "batch"} if which == "affine_net" else {}  # whose moving statistics are saved too
    unet = which in ("avoxelmorph", "velocity_unet")  # TensorFlow has no max pooling in float16 on the CPU
    check_network(
        functools.partial(make, which, **options),
        randomise,
        list(pair().values()) if which in DEFORMABLE else pair(),
        load=NETWORKS[which][0].load,
        mixed=MIXED[1:] if unet else MIXED,
    )


@pytest.mark.parametrize("which", NETWORKS)
def test_there_are_no_lambda_layers(which):
    assert not [layer for layer in all_layers(make(which)) if isinstance(layer, keras.layers.Lambda)]


@pytest.mark.parametrize("name", ["ACSGRegNet", "AVoxelMorph"])
@pytest.mark.parametrize("size", ["compact", "tiny"])
def test_the_named_sizes_can_be_built(name, size):
    network = NETWORKS[name.lower()][0](inshape=(32, 32, 32), **SIZES[name][size])
    assert network.count_params() < (15e6 if size == "compact" else 3e5)
    assert SIZES[name]["paper"] == {}


@pytest.mark.parametrize("which", NETWORKS)
@pytest.mark.parametrize(
    "inshape, message",
    [
        ((32, 32, 20), "divisible by .*got 20 in inshape"),
        ((16, 16), "three positive integers, got"),
        ((16, 16, 0), "three positive integers, got"),
        ((16, 16, 8.5), "three positive integers, got"),
    ],
    ids=str,
)
def test_a_shape_that_cannot_work_is_refused(which, inshape, message):
    with pytest.raises(ValueError, match=message):
        NETWORKS[which][0](inshape=inshape)


@pytest.mark.parametrize("which", JOINT)
def test_an_unknown_downsize_is_refused(which):
    with pytest.raises(ValueError, match=r"int_downsize must be 1 .* or 2 .*got 3"):
        make(which, int_downsize=3)
    with pytest.raises(ValueError, match=r"normalization must be one of .*got 'layer'"):
        make(which, normalization="layer")
    with pytest.raises(ValueError, match="int_steps is too small for 'ss': -1"):
        make(which, int_steps=-1)


@pytest.mark.parametrize(
    "which, option",
    [
        ("acsgregnet", "encoder_features"),
        ("avoxelmorph", "encoder_features"),
        ("acsgregnet", "affine_features"),
        ("affine_net", "features"),
    ],
)
def test_a_network_without_a_single_step_is_refused(which, option):
    with pytest.raises(ValueError, match="at least one"):
        make(which, **{option: ()})
