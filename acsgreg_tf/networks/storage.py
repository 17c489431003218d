"""Model files: .h5 as voxelmorph users know them (`model_config` holds the constructor's arguments), and .keras."""

import json
import os
import zipfile

import h5py
import keras

from acsgreg_tf.data.images import atomic_path
from acsgreg_tf.errors import InputError

HDF5_ENDINGS = (".h5", ".hdf5")


def is_hdf5_name(path):
    return os.fspath(path).lower().endswith(HDF5_ENDINGS)


def save(model, path, weights_dtype="float32"):
    """Write a network with its constructor's arguments to .h5 or .keras, whole or not at all.

    Args:
        model: a network of this package.
        path: name that ends in .h5, .hdf5 or .keras.
        weights_dtype: "float16" stores the kernels of an .h5 in half precision (half the file); they load into float32.

    Raises:
        InputError: another ending, or a folder that does not exist or cannot be written.
    """
    if weights_dtype not in ("float32", "float16"):
        raise InputError(f"weights_dtype must be float32 or float16, got {weights_dtype}")
    if is_hdf5_name(path):
        with atomic_path(path) as partial:
            _write_hdf5(model, partial, weights_dtype)
    elif os.fspath(path).endswith(".keras"):
        with atomic_path(path) as partial:
            keras.Model.save(model, partial)
    else:
        raise InputError(f"{path}: a model's name ends in .h5, .hdf5 or .keras")


def _write_hdf5(model, path, weights_dtype):
    # Keras's own legacy layout, so that keras.models.load_model reads it too. Its writer warns that .keras is preferred.
    from keras.src.legacy.saving import legacy_h5_format

    legacy_h5_format.save_model_to_hdf5(model, path, include_optimizer=False)
    if weights_dtype == "float32":
        return
    with h5py.File(path, "r+") as file:
        kernels = []
        file["model_weights"].visititems(lambda name, item: kernels.append(name) if _is_kernel(item) else None)
    half = f"{path}.half"
    with h5py.File(path, "r") as old, h5py.File(half, "w") as new:
        _copy(old, new, {f"model_weights/{name}" for name in kernels})
    os.replace(half, path)


def _is_kernel(item):
    # Vectors (biases, statistics of a normalisation) are small and can leave float16's range.
    return isinstance(item, h5py.Dataset) and item.ndim > 1


def _copy(source, target, halved):
    """Copy a file, halving the named datasets; HDF5 keeps the space of a dataset replaced in place."""
    target.attrs.update(source.attrs)
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            _copy(item, target.create_group(name), halved)
            continue
        values = item[()]
        if item.name.lstrip("/") in halved:
            values = values.astype("float16")
        options = {"compression": "gzip", "shuffle": True} if values.ndim > 1 else {}
        target.create_dataset(name, data=values, **options).attrs.update(item.attrs)


def check(path, classes):
    """Say in one line what is wrong with a model file, before Keras reads it.

    Args:
        path: .h5, .hdf5 or .keras file.
        classes: names of the networks that are accepted.

    Returns:
        (class name, constructor's arguments).

    Raises:
        InputError: missing, not readable, no HDF5, cut short, weights alone, a voxelmorph or other network.
    """
    if not os.path.isfile(path):
        raise InputError(f"{path}: no such model file")
    if os.fspath(path).endswith(".keras"):
        description = _describe_keras(path)
    elif is_hdf5_name(path):
        description = _describe_hdf5(path)
    else:
        raise InputError(f"{path}: a model's name ends in .h5, .hdf5 or .keras")
    name = description.get("class_name")
    config = description.get("config", {})
    if name in classes:
        return name, config
    if "nb_unet_features" in config or "enc_nf" in config:
        raise InputError(f"{path}: a voxelmorph model, which this package cannot run (expected {' or '.join(classes)})")
    raise InputError(f"{path}: holds a {name or 'nameless network'}, expected {' or '.join(classes)}")


def _describe_hdf5(path):
    with open(path, "rb") as file:
        signature = file.read(8)
    if signature != b"\x89HDF\r\n\x1a\n":
        raise InputError(f"{path}: not an HDF5 file")
    try:
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
            file.visititems(lambda name, item: item[()] if isinstance(item, h5py.Dataset) else None)
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path}: a damaged or truncated HDF5 file") from error
    if text is None:
        raise InputError(f"{path}: holds weights only, no model_config; save the whole model")
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{path}: its model_config is not JSON") from error


def _describe_keras(path):
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                raise InputError(f"{path}: a damaged .keras file")
            return json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise InputError(f"{path}: a damaged or truncated .keras file") from error


def load_weights(model, path):
    """Read the weights of an .h5 written by `save` into a network of the same architecture.

    Raises:
        InputError: the file's weights do not fit the network.
    """
    from keras.src.legacy.saving import legacy_h5_format

    try:
        with h5py.File(path, "r") as file:
            legacy_h5_format.load_weights_from_hdf5_group(file["model_weights"], model)
    except (ValueError, KeyError) as error:
        raise InputError(f"{path}: its weights do not fit a {type(model).__name__}({model.name})") from error
