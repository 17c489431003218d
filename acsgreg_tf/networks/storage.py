"""Model files: .h5 as voxelmorph users know them (`model_config` holds the constructor's arguments), and .keras.

Weights are stored layer by layer, in the order of `model.layers`; see `JointNetwork.layers`.
"""

import io
import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import keras

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import READ_FAULTS, atomic_path
from acsgreg_tf.io.hdf5 import check_hdf5, clean_copy
from acsgreg_tf.io.isolated import call_isolated
from acsgreg_tf.io.limits import check_packed

HDF5_ENDINGS = (".h5", ".hdf5")


def is_hdf5_name(path: str | os.PathLike) -> bool:
    """Return whether the name ends in .h5 or .hdf5."""
    return os.fspath(path).lower().endswith(HDF5_ENDINGS)


def save(model: keras.Model, path: str | os.PathLike, weights_dtype: str = "float32") -> None:
    """Write a network with its constructor's arguments to .h5 or .keras, whole or not at all.

    Args:
        model: A network of this package.
        path: Name that ends in .h5, .hdf5 or .keras.
        weights_dtype: "float16" stores the kernels of an .h5 in half precision (half the file); they load into float32.

    Raises:
        InputError: Another ending, float16 in a .keras file, or a folder that does not exist or cannot be written.
    """
    if weights_dtype not in ("float32", "float16"):
        raise InputError(f"weights_dtype must be float32 or float16, got {weights_dtype}")
    if weights_dtype == "float16" and not is_hdf5_name(path):
        raise InputError(f"{path}: only .h5 files can hold float16 weights")
    if is_hdf5_name(path):
        with atomic_path(path) as partial:
            _write_hdf5(model, partial, weights_dtype)
    elif os.fspath(path).lower().endswith(".keras"):
        with atomic_path(path) as partial:
            keras.Model.save(model, partial)
    else:
        raise InputError(f"{path}: a model's name ends in .h5, .hdf5 or .keras")


def _write_hdf5(model: keras.Model, path: Path, weights_dtype: str) -> None:
    # Keras's own legacy layout, which keras.models.load_model reads too; Model.save would warn that .keras is newer.
    from keras.src.legacy.saving import legacy_h5_format

    legacy_h5_format.save_model_to_hdf5(model, path, include_optimizer=False)
    if weights_dtype == "float32":
        return
    half = path.with_name(f"{path.name}.half")
    try:
        with h5py.File(path, "r") as old, h5py.File(half, "w") as new:
            _copy_halved(old, new)
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)


def _copy_halved(source: h5py.Group, target: h5py.Group) -> None:
    """Copy a file with its kernels, and the transformers' stacked vectors, in float16.

    To a new file, since HDF5 keeps the space of a dataset that is replaced in place.
    """
    target.attrs.update(source.attrs)
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            _copy_halved(item, target.create_group(name))
        elif item.ndim > 1:
            options = {"compression": "gzip", "shuffle": True}
            target.create_dataset(name, data=item[()].astype("float16"), **options).attrs.update(item.attrs)
        else:  # Single vectors (biases, statistics of a normalisation) are small and can leave float16's range.
            target.create_dataset(name, data=item[()]).attrs.update(item.attrs)


@dataclass(frozen=True)
class ModelFile:
    """A model file that was looked through.

    Attributes:
        path: The file.
        class_name: Of the network.
        config: Its constructor's arguments.
        content: A clean copy of an .h5; None for a .keras file, whose weights Keras reads by itself.
    """

    path: str | os.PathLike
    class_name: str
    config: dict[str, Any]
    content: bytes | None = field(repr=False, default=None)


def read(path: str | os.PathLike, classes: Sequence[str]) -> ModelFile:
    """Read a model file before Keras does, so that what is wrong with it fits in one line.

    Args:
        path: .h5, .hdf5 or .keras file.
        classes: Names of the networks that are accepted.

    Raises:
        InputError: Missing, not readable, no HDF5, damaged, linked to other files, weights alone, a voxelmorph or
            other network.
    """
    if not os.path.isfile(path):
        raise InputError(f"{path}: no such model file")
    try:
        with open(path, "rb") as file:
            start = file.read(8)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    content = None
    if os.fspath(path).lower().endswith(".keras"):
        description = _describe_keras(path)
    elif not is_hdf5_name(path):
        raise InputError(f"{path}: a model's name ends in .h5, .hdf5 or .keras")
    elif start != b"\x89HDF\r\n\x1a\n":
        raise InputError(f"{path}: not an HDF5 file")
    else:
        content = call_isolated(clean_copy, path)
        description = _describe_hdf5(path, content)
    if not isinstance(description, dict) or not isinstance(description.get("config"), dict):
        raise InputError(f"{path}: its model_config does not describe a network")
    name, config = str(description.get("class_name")), description["config"]
    if name in classes:
        return ModelFile(path, name, config, content)
    expected = " or ".join(classes)
    # What voxelmorph's LoadableModel writes, and the older of its networks.
    if name.startswith("Vxm") or {"metadata", "nb_unet_features", "enc_nf"} & set(config):
        raise InputError(f"{path}: a voxelmorph model, which this package cannot run (expected {expected})")
    raise InputError(f"{path}: holds {name}, expected {expected}")


def _describe_hdf5(path: str | os.PathLike, content: bytes) -> Any:
    with h5py.File(io.BytesIO(content), "r") as file:
        text = file.attrs.get("model_config")
    if text is None:
        raise InputError(f"{path}: holds weights only, no model_config; save the whole model")
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: its model_config is not JSON") from error


def _describe_keras(path: str | os.PathLike) -> Any:
    size = os.path.getsize(path)
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                check_packed(path, member.file_size, size)
            if archive.testzip() is not None or "model.weights.h5" not in archive.namelist():
                raise InputError(f"{path}: a damaged .keras file")
            description = json.loads(archive.read("config.json"))
    except InputError:
        raise
    except (*READ_FAULTS, RecursionError) as error:
        raise InputError(f"{path}: a damaged or truncated .keras file") from error
    call_isolated(check_hdf5, path, "model.weights.h5")
    return description


def load_weights(model: keras.Model, file: ModelFile) -> None:
    """Take over the weights of a file that `read` returned into a network of the same architecture.

    Raises:
        InputError: The file's weights are damaged or do not fit the network.
    """
    from keras.src.legacy.saving import legacy_h5_format

    try:
        if file.content is None:
            model.load_weights(file.path)
            return
        with h5py.File(io.BytesIO(file.content), "r") as copy:
            legacy_h5_format.load_weights_from_hdf5_group(copy["model_weights"], model)
    except OSError as error:
        raise InputError(f"{file.path}: a damaged or truncated model file") from error
    except (*READ_FAULTS, AttributeError) as error:
        raise InputError(f"{file.path}: its weights do not fit a {type(model).__name__}({model.name})") from error
