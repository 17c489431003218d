"""Engines, which compute a network: Keras with its backend, or OpenVINO, which starts sooner and needs no Keras."""

import importlib.util
import os
from typing import Any, Protocol, cast

import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.fields.kernels import threads
from acsgreg_tf.registration.models import RegistrationNetwork, default_model, load_model

AUTO, KERAS, OPENVINO = "auto", "keras", "openvino"
ENGINES = (AUTO, KERAS, OPENVINO)
# Registrations side by side; each takes some hundred MB.
_MOST_AT_ONCE = 4


class Engine(Protocol):
    """A network that is ready to compute; arrays in, arrays out.

    Attributes:
        name: Of the network.
        title: Of the engine and its version, for the metrics.
        inshape: Spatial shape (X, Y, Z) of the images.
        int_steps: Squarings of the velocity's integration.
        threaded: Whether threads may call it side by side.
    """

    name: str
    inshape: tuple[int, ...]
    int_steps: int
    threaded: bool

    @property
    def title(self) -> str: ...

    def read_ahead(self) -> None:
        """Begin to read what `velocity` needs, beside what else goes on; nothing where that is read already."""

    def affine(self, fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
        """The affine [3, 4], voxels about the grid's centre, of two images (X, Y, Z)."""

    def velocity(self, fixed: np.ndarray, moved: np.ndarray) -> np.ndarray:
        """The velocity [x, y, z, 3], voxels of its own grid, of a fixed image and the moving one after an affine."""


class KerasEngine:
    """A network computed by Keras's backend.

    Args:
        network: The network.
    """

    threaded = False

    def __init__(self, network: RegistrationNetwork) -> None:
        self.network = network
        self.name, self.inshape = network.name, tuple(network.inshape)
        self.int_steps = network.arguments["int_steps"]

    @property
    def title(self) -> str:
        import keras

        return f"keras {keras.__version__} on {keras.backend.backend()}"

    def read_ahead(self) -> None:
        """As `Engine.read_ahead`: Keras has read it all."""

    def affine(self, fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
        """As `Engine.affine`."""
        return self._call(self.network.affine_net, {"fixed": _batch(fixed), "moving": _batch(moving)})

    def velocity(self, fixed: np.ndarray, moved: np.ndarray) -> np.ndarray:
        """As `Engine.velocity`."""
        return self._call(self.network.deformable_net, [_batch(fixed), _batch(moved)])

    @staticmethod
    def _call(stage: Any, inputs: Any) -> np.ndarray:
        from keras import ops

        from acsgreg_tf.ops.backend import without_gradients

        return ops.convert_to_numpy(without_gradients(stage)(inputs, training=False))[0]


def _batch(image: np.ndarray) -> np.ndarray:
    return np.asarray(image, np.float32)[None, ..., None]


def load_engine(
    model: str | os.PathLike | RegistrationNetwork | Engine | None = None, engine: str = AUTO, keep: bool = True
) -> Engine:
    """A network that is ready to compute.

    Args:
        model: A network, its path, None for the package's own, or an engine, which is returned.
        engine: "keras", "openvino", or "auto": OpenVINO for a file where it is installed and can compute the network,
            else Keras.
        keep: Whether OpenVINO holds what it compiled for the next pair; else its memory (some hundred MB) is free again
            after each call.

    Raises:
        InputError: An unknown engine, one that is not installed or cannot compute the network, or a model that cannot
            be used.
    """
    if engine not in ENGINES:
        raise InputError(f"engine {engine}: must be one of {', '.join(ENGINES)}")
    if hasattr(model, "velocity") and hasattr(model, "int_steps"):
        return cast(Engine, model)
    network = cast(str | os.PathLike | RegistrationNetwork | None, model)
    path = default_model() if network is None else network
    file = isinstance(path, (str, os.PathLike))
    if engine == KERAS or (engine == AUTO and not (file and has_openvino())):
        return KerasEngine(load_model(network))
    if not isinstance(path, (str, os.PathLike)):
        raise InputError("engine openvino: takes a model's path, not a network that Keras holds")
    if not has_openvino():
        raise InputError("engine openvino: the package openvino is not installed")
    from acsgreg_tf.registration.openvino_engine import ConversionError, OpenVinoEngine

    try:
        return OpenVinoEngine(path, keep)
    except ConversionError as error:
        if engine == OPENVINO:
            raise InputError(f"{path}: OpenVINO cannot compute this network ({error})") from error
        return KerasEngine(load_model(path))


def side_by_side(network: Engine | None) -> int:
    """How many registrations by a network, or by none, go on at once in threads: one leaves cores idle at times."""
    return min(threads(), _MOST_AT_ONCE) if network is None or network.threaded else 1


def has_openvino() -> bool:
    """Whether OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None
