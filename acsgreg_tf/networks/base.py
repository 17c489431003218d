"""What every network of the package shares: a functional model that remembers its constructor's arguments."""

import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import one_line
from acsgreg_tf.io.presets import preset_path
from acsgreg_tf.networks import storage
from acsgreg_tf.ops import PACKAGE


class _NotCompiled(logging.Filter):
    """Drops Keras's warning at each load of an .h5 that it was not compiled: a network is saved without a loss.

    The warning comes right after `Network.from_config`; those about other models pass.
    """

    expected = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        about_ours, self.expected.flag = getattr(self.expected, "flag", False), False
        return not (about_ours and "No training configuration found" in record.getMessage())


logging.getLogger("absl").addFilter(_NotCompiled())


def check_shape(inshape: Sequence[int], divisor: int, why: str) -> tuple[int, ...]:
    """Return the spatial shape as a tuple of three integers.

    Args:
        inshape: Spatial shape.
        divisor: What each side must be divisible by.
        why: The reason, for the message.

    Raises:
        ValueError: Not three positive integers, or a side that is not divisible.
    """
    if len(inshape) != 3 or any(int(side) != side or side < 1 for side in inshape):
        raise ValueError(f"inshape must be three positive integers, got {tuple(inshape)}")
    for side in inshape:
        if side % divisor:
            raise ValueError(
                f"each side must be divisible by {divisor} ({why}), got {side} in inshape {tuple(inshape)}"
            )
    return tuple(int(side) for side in inshape)


def check_steps(name: str, features: Sequence[int]) -> None:
    """Raise ValueError for an empty list of channels."""
    if not features:
        raise ValueError(f"{name} must have at least one entry, got {tuple(features)}")


class ByName(keras.Model):
    """A functional model whose inputs, outputs and losses go by name.

    Keras takes lists too and sorts by name: [moving, fixed], voxelmorph's order, would be read as fixed, moving. So
    lists are refused where names are expected.
    """

    def __call__(self, inputs: Any, *arguments: Any, **options: Any) -> Any:
        """As `keras.Model.__call__`.

        Raises:
            InputError: A list of inputs where names are expected.
        """
        self._check_names(inputs)  # here too, before Keras wraps what `call` raises into many lines
        return super().__call__(inputs, *arguments, **options)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None, **options: Any) -> Any:
        """As `keras.Model.call`, which JAX calls directly.

        Raises:
            InputError: A list of inputs where names are expected.
        """
        self._check_names(inputs)
        return super().call(inputs, training=training, mask=mask, **options)

    # On JAX an error within these would leave the model without its weights, so they check first.

    def fit(self, x: Any = None, *arguments: Any, **options: Any) -> Any:
        """As `keras.Model.fit`; a list of inputs is an InputError."""
        self._check_arrays(x)
        return super().fit(x, *arguments, **options)

    def evaluate(self, x: Any = None, *arguments: Any, **options: Any) -> Any:
        """As `keras.Model.evaluate`; a list of inputs is an InputError."""
        self._check_arrays(x)
        return super().evaluate(x, *arguments, **options)

    def predict(self, x: Any, *arguments: Any, **options: Any) -> Any:
        """As `keras.Model.predict`; a list of inputs is an InputError."""
        self._check_arrays(x)
        return super().predict(x, *arguments, **options)

    def train_on_batch(self, x: Any, *arguments: Any, **options: Any) -> Any:
        """As `keras.Model.train_on_batch`; a list of inputs is an InputError."""
        self._check_arrays(x)
        return super().train_on_batch(x, *arguments, **options)

    def test_on_batch(self, x: Any, *arguments: Any, **options: Any) -> Any:
        """As `keras.Model.test_on_batch`; a list of inputs is an InputError."""
        self._check_arrays(x)
        return super().test_on_batch(x, *arguments, **options)

    def predict_on_batch(self, x: Any) -> Any:
        """As `keras.Model.predict_on_batch`; a list of inputs is an InputError."""
        self._check_arrays(x)
        return super().predict_on_batch(x)

    def _check_arrays(self, x: Any) -> None:
        """`_check_names` of arrays; data sets and generators hold what they hold."""
        if isinstance(x, (list, tuple)) or keras.ops.is_tensor(x) or hasattr(x, "__array__"):
            self._check_names(x)

    def _check_names(self, inputs: Any) -> None:
        if isinstance(self.input, dict) and not isinstance(inputs, dict):
            names = ", ".join(f'"{name}": ...' for name in self.input)
            raise InputError(f"{self.name}: inputs go by name, {{{names}}}; a list has no documented order")

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, **options: Any) -> None:
        """As `keras.Model.compile`.

        Raises:
            InputError: A list of losses where the outputs have names.
        """
        for what, values in (("loss", loss), ("loss_weights", options.get("loss_weights"))):
            if isinstance(self.output, dict) and isinstance(values, (list, tuple)):
                names = ", ".join(f'"{name}": ...' for name in self.output)
                raise InputError(f"{self.name}: {what} goes by the outputs' names, {{{names}}}, not as a list")
        super().compile(optimizer=optimizer, loss=loss, **options)


class Network(ByName):
    """Base of the package's networks: a functional model built in `__init__` from plain arguments.

    A subclass calls `super().__init__(inputs=..., outputs=...)` and then sets `self.arguments`.

    Attributes:
        arguments: The constructor's arguments by name, without `name`.
    """

    arguments: dict[str, Any]

    def get_config(self) -> dict[str, Any]:
        return {**self.arguments, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Network":
        _NotCompiled.expected.flag = True
        return cls(**config)

    def save(self, path: str | os.PathLike, weights_dtype: str = "float32", **kwargs: Any) -> None:
        """Write the network to .h5 or .keras; see `storage.save`. `weights_dtype="float16"` halves an .h5."""
        if kwargs.pop("overwrite", True) is not True or kwargs:
            raise ValueError(f"unknown options {sorted(kwargs)}: save(path, weights_dtype) always overwrites")
        storage.save(self, path, weights_dtype)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Network":
        """Read a network written by `save`; no architecture arguments are needed.

        Raises:
            InputError: The file is missing, damaged, holds weights alone, or another network.
        """
        file = storage.read(path, _names_of(cls))
        try:
            model = keras.saving.get_custom_objects()[file.class_name].from_config(file.config)
        except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
            raise InputError(f"{path}: its model_config does not fit this version ({one_line(error)})") from error
        storage.load_weights(model, file)
        return model

    @classmethod
    def from_preset(cls, preset: str | os.PathLike, load_weights: bool = True) -> "Network":
        """A network by name, as KerasHub's models have it.

        Args:
            preset: A name in `networks.PRESETS`, such as "lumbar", or the path of a model file.
            load_weights: False makes the same architecture with new weights.

        Raises:
            InputError: Unknown, or of another class; as for `load`.
        """
        is_path = not isinstance(preset, str) or Path(preset).suffix.lower() in (*storage.HDF5_ENDINGS, ".keras")
        network = cls.load(preset if is_path else preset_path(str(preset)))
        return network if load_weights else type(network).from_config(network.get_config())


def _names_of(cls: Any) -> list[str]:
    """Names of a class and its subclasses that are registered, which abstract ones are not."""
    names = [cls.__name__] if keras.saving.get_custom_objects().get(cls.__name__) is cls else []
    for subclass in cls.__subclasses__():
        names.extend(name for name in _names_of(subclass) if name not in names)
    return names


def registered(cls: Any) -> Any:
    """Register a network with keras.models.load_model, by the plain name that an .h5 holds too."""
    cls = keras.saving.register_keras_serializable(PACKAGE)(cls)
    keras.saving.get_custom_objects()[cls.__name__] = cls
    return cls


def load(path: str | os.PathLike) -> Network:
    """Read any network of the package, whichever class the file names. See `Network.load`."""
    return Network.load(path)
