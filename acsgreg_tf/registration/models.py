"""The network that comes with the package, and reading of others."""

import os
from pathlib import Path

import numpy as np

from acsgreg_tf.errors import InputError

_SHIPPED = "acsgreg_lumbar.h5"


# `model` of a registration without a network, and the squarings of its integration.
NO_MODEL = "none"


def default_model():
    """Path of the network that comes with the package (in a clone or an installation).

    Raises:
        InputError: there is none.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "models", package.parent / "models"):
        if (folder / _SHIPPED).is_file():
            return folder / _SHIPPED
    raise InputError(f"{_SHIPPED}: this installation came without its network; give a model")


def load_model(model=None):
    """A network that registers: the one given, or read from its path; None is the package's own.

    Args:
        model: a network, a path or None.

    Raises:
        InputError: no such file, no such network, or one that does not register (AffineNet alone, another
            package's).
    """
    if model is None:
        model = default_model()
    if isinstance(model, (str, os.PathLike)):
        if not Path(model).is_file():
            raise InputError(f"{model}: no such model file")
        # The subclasses that a file may hold are known once they are imported.
        from acsgreg_tf import networks  # noqa: F401
        from acsgreg_tf.networks.joint import JointNetwork

        network = JointNetwork.load(model)
        if not all(np.isfinite(weights).all() for weights in network.get_weights()):
            raise InputError(f"{model}: holds weights that are NaN or infinite; its training went wrong")
        return network
    if not (
        callable(model)
        and all(hasattr(model, name) for name in ("inshape", "arguments", "affine_net", "deformable_net"))
    ):
        raise InputError(f"a model must be a network of this package or its path, got {type(model).__name__}")
    return model
