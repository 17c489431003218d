"""One .h5, one field, whichever backend reads it: `make test-backends` writes under each backend and checks under each.

python -m tests.backend_fields write FOLDER    networks saved by this backend, and the fields that it computes with them
python -m tests.backend_fields check FOLDER    computes the fields of all networks in the folder again, and compares
"""

import sys
from pathlib import Path

import keras
import numpy as np

from acsgreg_tf.networks import load
from tests.networks.cases import make, outputs_of, pair, randomise

SHAPE = (32, 32, 32)
PEAK = 5.0  # voxels
TOLERANCE = 1e-3  # voxels
CASES = {
    "acsgregnet-batch": ("acsgregnet", {"normalization": "batch"}),
    "acsgregnet-instance": ("acsgregnet", {"normalization": "instance", "int_downsize": 1}),
    "avoxelmorph": ("avoxelmorph", {}),
}


def moving_network(which, changes):
    """A network with random weights everywhere, the last ones such that the velocity reaches PEAK."""
    network = randomise(make(which, inshape=SHAPE, **changes))
    last = network.get_layer("gfm").fuse if which == "acsgregnet" else network.get_layer("velocity")
    factor = PEAK / np.abs(outputs_of(network, pair(shape=SHAPE))["velocity"]).max()
    last.set_weights([factor * weights for weights in last.get_weights()])
    return network


def write(folder, backend):
    for name, (which, changes) in CASES.items():
        network = moving_network(which, changes)
        network.save(folder / f"{backend}-{name}.h5")
        np.savez(folder / f"{backend}-{name}.npz", **outputs_of(network, pair(shape=SHAPE)))


def check(folder, backend):
    """Whether this backend computes the same field with every network in the folder; prints a line for each."""
    files, agree = sorted(folder.glob("*.h5")), True
    assert files, f"{folder} holds no network"
    for path in files:
        outputs, expected = outputs_of(load(path), pair(shape=SHAPE)), np.load(path.with_suffix(".npz"))
        apart = {name: np.abs(outputs[name] - expected[name]).max() for name in expected}
        peak = np.abs(expected["phi"]).max()
        same = apart["phi"] <= TOLERANCE and apart["affine"] <= TOLERANCE and peak > 2
        agree = agree and same
        print(
            f"{'same' if same else 'APART':5} {path.stem} under {backend}: phi, up to {peak:.1f} voxels, differs by at "
            f"most {apart['phi']:.1e}; m_d by {apart['m_d']:.1e}"
        )
    return agree


if __name__ == "__main__":
    order, where, backend = sys.argv[1], Path(sys.argv[2]), keras.backend.backend()
    if backend == "torch":
        import torch

        torch.set_grad_enabled(False)
    keras.utils.set_random_seed(0)
    if order == "write":
        where.mkdir(parents=True, exist_ok=True)
        write(where, backend)
    elif not check(where, backend):
        sys.exit(1)
