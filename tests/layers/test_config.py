"""That get_config carries every constructor argument of every layer, and the rebuilt layer has it."""

import inspect

import pytest

from acsgreg_tf import layers

# Every argument with a value that is not its default.
ARGUMENTS = {
    "AffineMatrix": {"inshape": (9, 7, 5), "initial_scale": 0.5},
    "ConvBlock": {"filters": 5, "strides": 2, "normalization": "instance", "slope": 0.3},
    "GatedFusion": {"kernel_size": 5, "activation": "softmax"},
    "JointTransformer": {},
    "PositionEmbedding": {},
    "ResizeDisplacement": {"shape": (4, 5, 6)},
    "SpatialTransformer": {
        "interp_method": "nearest",
        "indexing": "xy",
        "single_transform": True,
        "fill_value": 0.5,
        "shift_center": False,
        "constant_image": True,
    },
    "SumOfHalves": {"stddev": 0.5, "seed": 3},
    "TransformerEncoder": {
        "layers": 3,
        "heads": 2,
        "mlp_ratio": 3,
        "mlp_width": 7,
        "dropout": 0.5,
        "softmax_scale": "width",
    },
    "VecInt": {
        "indexing": "xy",
        "method": "ode",
        "int_steps": 3,
        "out_time_pt": 2,
        "ode_args": {"rtol": 0.1},
        "odeint_fn": print,
    },
}


@pytest.mark.parametrize("name", layers.__all__)
def test_every_argument_survives(name):
    kind, arguments = getattr(layers, name), ARGUMENTS[name]
    if ARGUMENTS[name]:  # PositionEmbedding has no constructor of its own, JointTransformer nothing to say in it
        assert set(arguments) == set(inspect.signature(kind.__init__).parameters) - {"self", "kwargs"}
    made = kind(**arguments)
    config = made.get_config()
    again = kind.from_config(config)
    for key, value in arguments.items():
        assert config[key] == value and getattr(again, key) == value, key
