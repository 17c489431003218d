"""Say whether this installation works: versions, backend, GPU, network, cache, and a registration of two made-up
vertebrae (ten seconds; no file of yours is read). Send what it prints with a report of a fault.

The exit code is 0 where the test passes and 1 where it does not."""

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from acsgreg_tf import __version__
from acsgreg_tf.cli import common, terminal
from acsgreg_tf.io.cache import cache_folder

_PACKAGES = (
    "keras",
    "tensorflow",
    "jax",
    "torch",
    "voxelmorph",
    "neurite",
    "openvino",
    "numba",
    "numpy",
    "scipy",
    "nibabel",
    "SimpleITK",
    "h5py",
)
# What brings something more: package, what for.
_OPTIONAL = {
    "vtk": "surfaces in acsgreg warp",
    "antspyx": "acsgreg test --method ants-syn",
    "picsl-greedy": "--method greedy",
    "itk-elastix": "--method elastix-bspline",
    "biocpd": "--method cpd-surface",
    "shtab": "acsgreg completion",
    "tensorboard": "TensorBoard's logs of acsgreg train",
}

_EXAMPLES = """  acsgreg doctor
  acsgreg doctor --no-test
on the CPU, although there is a GPU
  acsgreg doctor --gpu -1
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (1 where the self test fails, 2 where it cannot run)."""
    return common.run(_examine, parser(), arguments)


def parser() -> common.Parser:
    """The parser of all options."""
    parser = common.Parser("doctor", __doc__, _EXAMPLES)
    parser.add_argument("--no-test", dest="test", action="store_false", help="print what is installed, and stop there")
    common.add_gpu(parser)
    return parser


def _examine(options: argparse.Namespace) -> int:
    _show("acsgreg_tf", f"{__version__}, {Path(__file__).resolve().parents[1]}")
    _show("Python", f"{platform.python_version()}, {sys.executable}")
    _show("packages", ", ".join(f"{name} {installed}" for name in _PACKAGES if (installed := _version(name))))
    for name, what in _OPTIONAL.items():
        _show(f"  {name}", f"{_version(name) or 'not installed'} ({what})")
    from acsgreg_tf.evaluation.results.provenance import provenance
    from acsgreg_tf.registration import default_model

    _show("machine", provenance()["machine"])
    model = default_model()
    _show("network", f"{model}, {model.stat().st_size / 2**20:.0f} MB")
    _show("cache", _cache())
    with terminal.Steps(1) as step:
        step("starting Keras")
        common.start_backend(options.gpu)
    from acsgreg_tf.ops import backend

    count = backend.gpu_count()
    _show("backend", f"{backend.title()} (KERAS_BACKEND {os.environ.get('KERAS_BACKEND', 'is not set')})")
    _show("GPU", f"{count} that {backend.title()} can use" if count else f"none that {backend.title()} can use")
    return _test() if options.test else 0


def _test() -> int:
    from acsgreg_tf.registration.self_test import LEAST_DICE, MOST_MM, self_test

    with terminal.Steps(4) as step:
        test = self_test(step)
    _show("self test", f"{'passed' if test.passed else 'FAILED'} in {test.seconds['total']:.0f} s")
    _show("  engine", test.engine)
    _show("  Dice", f"{test.before:.3f} before, {test.after:.3f} after; at least {LEAST_DICE} is expected")
    _show("  ITK", f"agrees with what is written to {test.itk_mm:.1e} mm; at most {MOST_MM:g} is expected")
    return 0 if test.passed else 1


def _show(name: str, text: str) -> None:
    print(f"{name:16}{text}", flush=True)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cache() -> str:
    """Where networks lie in the form that an engine has made of them, and how much it is."""
    folder = cache_folder()
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    size = sum(path.stat().st_size for path in files) / 2**20
    return f"{folder}, {size:.0f} MB; it may be deleted at any time"
