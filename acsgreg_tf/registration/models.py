"""The networks that register: the one that comes with the package, and reading of others."""

import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.presets import preset_path
from acsgreg_tf.ops import Tensor

# `model` of a registration without a network.
NO_MODEL = "none"


class RegistrationNetwork(Protocol):
    """What a registration needs of a network; `networks.joint.JointNetwork` says what each means."""

    name: str
    inshape: tuple[int, ...]
    arguments: dict[str, Any]

    def affine_net(self, inputs: dict[str, Tensor], training: bool) -> Tensor:
        """The affine [B, 3, 4] from {"fixed", "moving"}: [B, X, Y, Z, 1]."""

    def deformable_net(self, images: list[Tensor], training: bool) -> Tensor:
        """The velocity [B, x, y, z, 3] from [fixed, m_a], the moving image after an affine, [B, X, Y, Z, 1] each."""


def default_model() -> Path:
    """Path of the network that comes with the package (in a clone or an installation).

    Raises:
        InputError: There is none.
    """
    return preset_path("lumbar")


def load_model(model: str | os.PathLike | RegistrationNetwork | None = None) -> RegistrationNetwork:
    """A network that registers: the one given, or read from its path; None is the package's own.

    Args:
        model: A network, a path or None.

    Raises:
        InputError: No such file, no such network, or one that does not register (AffineNet alone, another
            package's).
    """
    if model is None:
        model = default_model()
    if isinstance(model, (str, os.PathLike)):
        return _read(model)
    needed = ("inshape", "arguments", "affine_net", "deformable_net")
    if not (callable(model) and all(hasattr(model, name) for name in needed)):
        raise InputError(f"a model must be a network of this package or its path, got {type(model).__name__}")
    return model


def _read(path: str | os.PathLike) -> RegistrationNetwork:
    if not Path(path).is_file():
        raise InputError(f"{path}: no such model file")
    # The subclasses that a file may hold are known once they are imported.
    from acsgreg_tf import networks  # noqa: F401
    from acsgreg_tf.networks.joint import JointNetwork

    network = JointNetwork.load(path)
    if not all(np.isfinite(weights).all() for weights in network.get_weights()):
        raise InputError(f"{path}: holds weights that are NaN or infinite; its training went wrong")
    return network
