"""A network's two stages compiled by OpenVINO, which infer on a CPU without Keras and its backend.

    KERAS_BACKEND=openvino python -m acsgreg_tf.networks.openvino network.h5 folder

writes affine.blob, deformable.blob and network.json to the folder. It is a process of its own: one process has one
Keras backend. What is written serves this version of OpenVINO on this kind of processor.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acsgreg_tf import networks  # noqa: F401 (makes the classes known that a file may name)
from acsgreg_tf.errors import InputError
from acsgreg_tf.networks.joint import JointNetwork

AFFINE, DEFORMABLE, DESCRIPTION = "affine.blob", "deformable.blob", "network.json"
# Processors with bfloat16 would use it by themselves.
COMPILATION = {"INFERENCE_PRECISION_HINT": "f32"}
# The exit code where the fault is the model file's.
FAULT = 2


def convert(path: str | Path, folder: str | Path) -> None:
    """Read a network and write its stages.

    Args:
        path: Of the model file.
        folder: An empty folder.

    Raises:
        InputError: No such model file, or it cannot be used.
    """
    import openvino

    network: Any = JointNetwork.load(path)
    if not all(np.isfinite(weights).all() for weights in network.get_weights()):
        raise InputError(f"{path}: holds weights that are NaN or infinite; its training went wrong")
    folder = Path(folder)
    affine = _model(network.affine_net, network.inshape, ("fixed", "moving"), named=True)
    deformable = _model(network.deformable_net, network.inshape, ("fixed", "m_a"), named=False)
    for model, name in ((affine, AFFINE), (deformable, DEFORMABLE)):
        compiled = openvino.Core().compile_model(model, "CPU", COMPILATION)
        (folder / name).write_bytes(compiled.export_model().getvalue())
    description = {
        "name": network.name,
        "inshape": list(network.inshape),
        "int_steps": network.arguments["int_steps"],
    }
    (folder / DESCRIPTION).write_text(json.dumps(description))


def _model(stage: Any, inshape: Sequence[int], names: Sequence[str], named: bool) -> Any:
    """A stage of a network as an openvino.Model with inputs [1, X, Y, Z, 1] of these names."""
    import openvino
    from keras.src.backend.openvino.core import OpenVINOKerasTensor
    from openvino import opset16 as opset

    parameters = [opset.parameter(shape=[1, *inshape, 1], dtype=openvino.Type.f32) for _ in names]
    for parameter, name in zip(parameters, names, strict=True):
        parameter.output(0).set_names({name})
    tensors = [OpenVINOKerasTensor(parameter.output(0)) for parameter in parameters]
    output = stage(dict(zip(names, tensors, strict=True)) if named else tensors, training=False)
    return openvino.Model([output.output], parameters)


def main(path: str, folder: str) -> None:
    """`convert` in a process of its own: a fault of the model file is printed, and ends it with `FAULT`."""
    try:
        convert(path, folder)
    except InputError as error:
        print(error)
        sys.exit(FAULT)


if __name__ == "__main__":
    main(*sys.argv[1:])
