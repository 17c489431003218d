"""One process registers two hundred pairs, each scan on a grid of its own, in no more memory than it needs for some."""

import resource
import warnings
from pathlib import Path

import numpy as np
import pytest

from acsgreg_tf import register
from acsgreg_tf.networks import load
from tests.registration.cases import NUMBER, grid_about, save_network, scan

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]


def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def test_memory_stays_flat(tmp_path):
    registrations = 200
    network = load(save_network(tmp_path / "small.h5"))
    rng, memory = np.random.default_rng(0), []
    for _ in range(registrations):
        sides = []
        for _ in range(2):
            place = rng.uniform(-100, 100, 3)
            sides.append(scan(grid_about(place, rng.integers(36, 52, 3), rng.uniform(0.9, 1.3, 3)), place))
        (fixed, fixed_seg), (moving, moving_seg) = sides
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            register(
                fixed,
                moving,
                fixed_seg=fixed_seg,
                moving_seg=moving_seg,
                label=NUMBER,
                model=network,
            )
        memory.append(resident_mb())
    assert max(memory[registrations // 2 :]) < max(memory[: registrations // 2]) + 60
