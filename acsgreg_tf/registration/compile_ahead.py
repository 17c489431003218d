"""The kernels of a registration, compiled by a second process while the first registration on a machine begins.

numba compiles a kernel when it is called first, and stores the machine code. The second process leaves the kernels that
are needed soon to the first, and is done with folds, inverses and gradients when that one, which reads files and
converts the network meanwhile, comes to them. Where both want the same kernel at once each compiles it, which does no
harm.
"""

import atexit
import gc
import subprocess
import sys
from pathlib import Path

import numpy as np

import acsgreg_tf
from acsgreg_tf import fields, metrics
from acsgreg_tf.fields import gradients
from acsgreg_tf.fields.kernels import is_stored, threads
from acsgreg_tf.fields.windows import correlation_gradient
from acsgreg_tf.geometry import Grid, resample, resample_label
from acsgreg_tf.registration.deformation import Deformation
from acsgreg_tf.registration.fold_search import fold_between
from acsgreg_tf.registration.inverse_error import written_safely

_SHAPE = (24, 24, 24)


def compile_ahead() -> None:
    """Start the second process, if kernels are to be compiled and there is a core for it; it ends with this process."""
    if threads() == 1 or is_stored(fold_between) or not sys.executable:
        return
    root = str(Path(acsgreg_tf.__file__).resolve().parents[1])
    code = f"import sys; sys.path.insert(0, {root!r}); from {__name__} import compile_all; compile_all()"
    nothing = subprocess.DEVNULL
    # A session of its own, so that Ctrl-C reaches it through this process only.
    process = subprocess.Popen(
        [sys.executable, "-c", code], start_new_session=True, stdin=nothing, stdout=nothing, stderr=nothing
    )
    atexit.register(_end, process)


def _end(process: subprocess.Popen) -> None:
    process.terminate()
    process.wait()


def compile_all() -> None:
    """Call on small arrays what a registration calls once the network is there, the objective's parts backwards."""
    gc.disable()  # numba makes many objects that stay, and collecting them would slow it down
    grid = Grid(_SHAPE, np.eye(4))
    bone = np.zeros(_SHAPE, bool)
    bone[8:16, 8:16, 8:16] = True
    velocity = np.zeros((*_SHAPE, 3), np.float32)
    velocity[bone] = 0.5
    deformation = written_safely(Deformation(np.eye(3, 4), velocity, _SHAPE), bone)
    fields.sample(deformation.part, np.zeros((1, 3)))
    gradients.integrate_gradient([deformation.part] * 2, deformation.part)
    two = np.zeros((*deformation.part.shape[:3], 2), np.float32)
    gradients.warp_jointly_gradient(two, deformation.affine, deformation.part, two, np.zeros_like(deformation.part))
    gradients.rounded_difference(two[..., 0], *(np.zeros(two.shape[:3], np.float32),) * 2)
    gradients.fold_penalty(deformation.part, 0.0)
    gradients.roughness(deformation.part)
    fields.resize_adjoint(deformation.part, [np.zeros(len(deformation.part))], _SHAPE)
    image = np.zeros(_SHAPE, np.float32)
    correlation_gradient(image, image, image, 3, (image, image))
    transform = deformation.world_transform(grid, grid)
    for kind in ("float32", "uint8"):
        resample(bone.astype(kind), grid, grid, transform)
    resample_label(bone, grid, grid, transform)
    metrics.folds(deformation.phi)
