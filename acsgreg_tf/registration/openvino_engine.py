"""A network computed by OpenVINO on the CPU; its compiled form is cached, so that Keras is needed once a network."""

import functools
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.fields.kernels import threads
from acsgreg_tf.io.cache import cached_folder

# A conversion takes some seconds; one that takes so long is stuck.
_PATIENCE_SECONDS = 300
_FAULT = 2
_AFFINE, _DEFORMABLE = "affine", "deformable"
_FILES = (f"{_AFFINE}.blob", f"{_DEFORMABLE}.blob", "network.json")
_START = "import sys; sys.path[:] = sys.argv[3:]; from acsgreg_tf.networks.openvino import main; main(*sys.argv[1:3])"


class ConversionError(Exception):
    """A network could not be converted, for a reason that is not the model file's fault."""


class OpenVinoEngine:
    """A network of this package, from its file.

    Args:
        path: Of the model file.
        keep: Hold what is compiled for the next pair; else its memory is free again after each call.

    Raises:
        InputError: No such file, or it cannot be used.
        ConversionError: OpenVINO or Keras's backend for it cannot do what the network needs.
    """

    threaded = True

    def __init__(self, path: str | os.PathLike, keep: bool = True) -> None:
        if not Path(path).is_file():
            raise InputError(f"{path}: no such model file")
        self._folder = cached_folder("openvino", _key(path), _FILES, lambda folder: _convert(path, folder))
        try:
            description = json.loads((self._folder / "network.json").read_text())
            self.name: str = description["name"]
            self.inshape = tuple(description["inshape"])
            self.int_steps: int = description["int_steps"]
        except (OSError, ValueError, KeyError) as error:
            raise ConversionError(f"{self._folder} is damaged; remove it") from error
        self._keep = keep
        self._stages: dict[str, Any] = {}
        self._ahead: dict[str, Future[Any]] = {}

    @property
    def title(self) -> str:
        return f"openvino {importlib.metadata.version('openvino')}"

    def read_ahead(self) -> None:
        """As `Engine.read_ahead`; OpenVINO leaves Python free meanwhile."""
        if _DEFORMABLE not in self._stages and _DEFORMABLE not in self._ahead:
            pool = ThreadPoolExecutor(1)
            self._ahead[_DEFORMABLE] = pool.submit(_read_stage, self._folder / f"{_DEFORMABLE}.blob")
            pool.shutdown(wait=False)

    def affine(self, fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
        """As `Engine.affine`."""
        return _infer(self._stage(_AFFINE), fixed=fixed, moving=moving)

    def velocity(self, fixed: np.ndarray, moved: np.ndarray) -> np.ndarray:
        """As `Engine.velocity`."""
        return _infer(self._stage(_DEFORMABLE), fixed=fixed, m_a=moved)

    def _stage(self, name: str) -> Any:
        """The affine or the deformable part, ready to infer."""
        if name in self._stages:
            return self._stages[name]
        ahead = self._ahead.pop(name, None)
        stage = _read_stage(self._folder / f"{name}.blob") if ahead is None else ahead.result()
        if self._keep:
            self._stages[name] = stage
        return stage


def _key(path: str | os.PathLike) -> str:
    """A digest of all that a compiled network follows from: its file, the code that builds it, packages, processor."""
    package = Path(__file__).resolve().parent.parent
    sources = sorted(source for room in ("networks", "layers", "ops") for source in (package / room).rglob("*.py"))
    digest = hashlib.sha256()
    try:
        for file in (path, *sources):
            digest.update(Path(file).read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    for name in ("openvino", "keras"):
        digest.update(importlib.metadata.version(name).encode())
    processor = _core().get_property("CPU", "FULL_DEVICE_NAME")
    abilities = sorted(_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    digest.update(" ".join([processor, *abilities]).encode())
    return digest.hexdigest()[:32]


@functools.cache
def _core() -> Any:
    """OpenVINO itself, for as long as the process lives.

    With it goes the stack that signals are handled on: the next Ctrl-C would be a segmentation fault.
    """
    import openvino

    return openvino.Core()


def _read_stage(path: Path) -> Any:
    """A model that `networks.openvino` compiled, with its options.

    Raises:
        InputError: The file is damaged.
    """
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": str(threads())}
    try:
        return _core().import_model(path.read_bytes(), "CPU", options)
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path}: is damaged; remove it, it is made anew") from error


def _infer(model: Any, **images: np.ndarray) -> np.ndarray:
    batches = {name: np.ascontiguousarray(image, np.float32)[None, ..., None] for name, image in images.items()}
    # A request of its own: threads may share an engine.
    return np.array(model.create_infer_request().infer(batches)[0][0])


def _convert(path: str | os.PathLike, folder: Path) -> None:
    """Convert in a process of its own, since this one may have another Keras backend, or none."""
    if not sys.executable:
        raise ConversionError("there is no Python to run")
    command = [sys.executable, "-c", _START, str(Path(path).resolve()), str(folder), *sys.path]
    environment = {**os.environ, "KERAS_BACKEND": "openvino"}
    try:
        child = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ConversionError(f"not within {_PATIENCE_SECONDS} seconds") from error
    if child.returncode == _FAULT and child.stdout.strip():
        raise InputError(_last_line(child.stdout).replace(str(Path(path).resolve()), str(path)))
    if child.returncode:
        raise ConversionError(_last_line(child.stderr) or f"exit code {child.returncode}")


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]
