"""ACSGRegNet: the paper's structure, and that every constructor argument changes what it says."""

import keras
import numpy as np
import pytest

from acsgreg_tf.layers import ConvBlock, GatedFusion, PositionEmbedding, TransformerEncoder
from acsgreg_tf.networks import ACSGRegNet, AffineNet
from tests.networks.cases import ACSG, HALF, SHAPE, layers_of, make, outputs_of, pair, randomise


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(1)
    return randomise(make("acsgregnet"))


def names(model):
    return {layer.name for layer in model.layers}


def encoders(model):
    return {e.name: e for e in layers_of(model, TransformerEncoder)}


# === structure ===


def test_the_default_is_the_papers_size():
    network = ACSGRegNet()
    config = network.get_config()
    assert (config["inshape"], config["width"], config["layers"], config["heads"]) == ((128, 128, 64), 252, 12, 12)
    # Three transformers of 12 layers hold 27.6 M of them (a layer: 12 k^2 + 13 k); convolutions and dense layers the
    # rest.
    transformers = sum(e.count_params() for e in encoders(network).values())
    assert transformers == 3 * (12 * (12 * 252**2 + 13 * 252) + 2 * 252)
    assert 38e6 < network.count_params() < 40e6
    assert network.output["velocity"].shape == (None, 64, 64, 32, 3)
    tokens = network.get_layer("cam").input.shape
    assert tokens == (None, 2 * 8 * 8 * 4, 252)


def test_two_self_attentions_and_one_cross_attention_on_the_stacked_tokens(network):
    result = encoders(network)
    assert sorted(result) == ["cam", "sam_fixed", "sam_moving"]
    tokens = 2 * 2 * 2
    assert result["sam_fixed"].input.shape == result["sam_moving"].input.shape == (None, tokens, 12)
    assert result["cam"].input.shape == (None, 2 * tokens, 12)
    kernels = [keras.ops.convert_to_numpy(e.stacks[2]) for e in result.values()]
    assert all(np.abs(a - b).max() > 0 for a, b in [(kernels[0], kernels[1]), (kernels[1], kernels[2])])


def test_the_cross_attentions_tokens_are_split_again_by_image(network):
    stage, images = network.deformable_net, pair()
    layers = [stage.get_layer(name) for name in ("stacked", "fixed_position", "moving_position", "cam", "cam_pair")]
    inner = keras.Model(stage.input, [layer.output for layer in layers])
    stacked, fixed, moving, cam, both = map(np.array, inner([images["fixed"], images["moving"]]))
    np.testing.assert_array_equal(stacked, np.concatenate([fixed, moving], axis=1))
    np.testing.assert_array_equal(both, np.concatenate(np.split(cam, 2, axis=1), axis=-1))
    assert np.abs(both[..., :12] - both[..., 12:]).max() > 1e-3


def test_one_encoder_serves_both_images(network):
    """Swapping the images swaps the encoder's features."""
    stage, (fixed, m_a) = network.deformable_net, pair().values()
    assert len([layer for layer in stage.layers if layer.name.startswith("encoder_")]) == 2 * len(
        ACSG["encoder_features"]
    )
    sequences = keras.Model(stage.input, [stage.get_layer(f"{image}_sequence").output for image in ("fixed", "moving")])
    here, there = ([np.array(o) for o in sequences(images)] for images in ([fixed, m_a], [m_a, fixed]))
    assert np.abs(here[0] - here[1]).max() > 1e-3
    for got, want in zip(there, reversed(here), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)
    assert len(layers_of(stage, PositionEmbedding)) == 2 and len(layers_of(stage, keras.layers.Dense)) == 1


def test_skips_carry_both_images_features(network):
    # Decoder level 1 takes its own channels and those of both images' second finest level.
    decoder, encoder = (6, 5, 4), ACSG["encoder_features"]
    for name in ("decoder_s", "decoder_c"):
        assert network.get_layer(f"{name}_skip_1").output.shape[-1] == decoder[0] + 2 * encoder[1]
        assert network.get_layer(f"{name}_skip_2").output.shape[-1] == decoder[1] + 2 * encoder[0]


def test_study_gives_the_inner_fields_with_the_same_weights(network):
    study = network.with_study()
    result, plain = outputs_of(study), outputs_of(network)
    assert set(result) == set(plain) | {"v_s", "v_c", "w_s", "w_c"}
    for name in plain:
        np.testing.assert_array_equal(result[name], plain[name])
    assert all(result[name].shape == (1, *HALF, 3) for name in ("v_s", "v_c", "w_s", "w_c"))
    assert all(0 <= result[gate].min() and result[gate].max() <= 1 for gate in ("w_s", "w_c"))
    assert study.count_params() == network.count_params()


def test_velocity_is_the_gated_fusion_of_both_branches(network):
    result = outputs_of(network.with_study())
    expected = network.get_layer("gfm")([result["v_s"], result["v_c"]])
    for name, value in zip(("velocity", "w_s", "w_c"), expected, strict=True):
        np.testing.assert_allclose(result[name], value, atol=1e-5)


# === arguments ===


def test_a_single_branch_has_no_fusion():
    for branch, v, others in (("self", "v_s", {"cam"}), ("cross", "v_c", {"sam_fixed", "sam_moving"})):
        network = randomise(make("acsgregnet", attention=(branch,)))
        assert not names(network) & (others | {"gfm"})
        result = outputs_of(network.with_study())
        assert {"v_s", "v_c", "w_s", "w_c"} & set(result) == {v}
        np.testing.assert_array_equal(result["velocity"], result[v])


def test_one_branch_may_be_given_as_a_list():
    assert make("acsgregnet", attention=["cross"]).get_config()["attention"] == ("cross",)


def test_sum_instead_of_gates():
    network = randomise(make("acsgregnet", fusion="sum"))
    assert not layers_of(network, GatedFusion)
    result = outputs_of(network.with_study())
    assert not {"w_s", "w_c"} & set(result)
    np.testing.assert_allclose(result["velocity"], result["v_s"] + result["v_c"], atol=1e-6)


def test_full_resolution():
    network = randomise(make("acsgregnet", int_downsize=1))
    result = outputs_of(network)
    assert result["velocity"].shape == result["phi"].shape == (1, *SHAPE, 3)


def test_without_integration_steps_phi_is_the_velocity():
    result = outputs_of(randomise(make("acsgregnet", int_downsize=1, int_steps=0)))
    np.testing.assert_array_equal(result["phi"], result["velocity"])
    assert np.abs(result["phi"]).max() > 0


def test_more_steps_integrate_further():
    few, many = (make("acsgregnet", int_steps=steps) for steps in (1, 7))
    randomise(few)
    many.set_weights(few.get_weights())
    few, many = outputs_of(few), outputs_of(many)
    np.testing.assert_array_equal(few["velocity"], many["velocity"])
    assert np.abs(few["phi"] - many["phi"]).max() > 1e-4


@pytest.mark.parametrize(
    "both, affine, expected",
    [
        ("batch", None, ("batch", "batch")),
        ("none", "instance", ("none", "instance")),
        ("instance", "none", ("instance", "none")),
    ],
)
def test_normalization_of_the_blocks(both, affine, expected):
    network = make("acsgregnet", normalization=both, affine_normalization=affine)
    own = layers_of(network.affine_net, ConvBlock)
    others = [block for block in layers_of(network, ConvBlock) if block not in own]
    assert own and others
    assert {block.normalization for block in others} == {expected[0]}
    assert {block.normalization for block in own} == {expected[1]}


def test_sizes():
    network = make(
        "acsgregnet",
        affine_features=(2, 3, 4),
        encoder_features=(3, 7),
        decoder_features=(9, 5),
        width=8,
        layers=3,
        heads=2,
        mlp_ratio=5,
    )
    assert [b.filters for b in layers_of(network.affine_net, ConvBlock)] == [2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert network.get_layer("encoder_1").filters == 7
    assert [network.get_layer(f"decoder_s_{level}").filters for level in (0, 1)] == [9, 5]
    assert network.get_layer("projection").units == 8
    cam = encoders(network)["cam"]
    assert cam.input.shape == (None, 2 * 4 * 4 * 4, 8)
    assert (cam.layers, cam.heads) == (3, 2) and cam.stacks[8].shape == (3, 8, 40)


def test_the_readings_of_the_paper_reach_their_layers():
    options = {"mlp_width": 9, "dropout": 0.1, "softmax_scale": "width", "gate": "softmax", "slope": 0.05}
    network = make("acsgregnet", **options)
    for encoder in encoders(network).values():
        assert encoder.stacks[8].shape[-1] == 9 and encoder.drop.rate == 0.1 and encoder.softmax_scale == "width"
    assert network.get_layer("gfm").activation == "softmax"
    assert {block.slope for block in layers_of(network, ConvBlock)} == {0.05}
    assert len(layers_of(network.affine_net, ConvBlock)) == 6
    assert {name: network.get_config()[name] for name in options} == options
    assert AffineNet(SHAPE, (2, 3), slope=0.1).get_config()["slope"] == 0.1


def test_vit_v_nets_perceptron():
    kernel = encoders(make("acsgregnet", width=252, heads=12, layers=1, mlp_width=3072))["cam"].stacks[8]
    assert kernel.shape == (1, 252, 3072)


def test_a_config_that_names_no_readings_is_as_it_was():
    config = make("acsgregnet").get_config()
    old = {n: v for n, v in config.items() if n not in ("mlp_width", "dropout", "softmax_scale", "gate", "slope")}
    assert len(old) == len(config) - 5 and ACSGRegNet.from_config(old).get_config() == config


def test_the_decoder_mirrors_the_encoder_by_default():
    assert make("acsgregnet").get_config()["decoder_features"] == (6, 5, 4)


def test_another_shape():
    network = make("acsgregnet", inshape=(16, 8, 24), layers=1)
    result = outputs_of(network, pair(shape=(16, 8, 24)))
    assert result["m_d"].shape == (1, 16, 8, 24, 1) and result["velocity"].shape == (1, 8, 4, 12, 3)


# === refusals ===


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"width": 13}, "width must be divisible by the number of heads, got width 13 and 3 heads"),
        ({"inshape": (16, 20, 16)}, r"divisible by 8 .*got 20 in inshape \(16, 20, 16\)"),
        ({"attention": ()}, r"attention must name 'self', 'cross' or both, got \(\)"),
        ({"attention": ("self", "global")}, "attention must name .*'global'"),
        ({"gate": "tanh"}, "gate's activation must be one of .*got 'tanh'"),
        ({"dropout": -0.1}, "dropout must be at least 0"),
        ({"fusion": "mean"}, "fusion must be 'gated' or 'sum', got 'mean'"),
        ({"decoder_features": (4, 4)}, "one entry a level, 3, got 2"),
        ({"affine_normalization": "layer"}, "normalization must be one of .*got 'layer'"),
    ],
)
def test_what_cannot_work_is_refused_with_the_value_and_the_rule(changes, message):
    with pytest.raises(ValueError, match=message):
        make("acsgregnet", **changes)
