"""Forward plus gradient of VecInt and a warp: this package's layers against voxelmorph's own, in one run.

python benchmarks/spatial_layers.py
"""

import statistics
import time

import numpy as np
import tensorflow as tf

from acsgreg_tf import layers
from acsgreg_tf.layers._voxelmorph import voxelmorph

FULL, HALF = (128, 128, 64), (64, 64, 32)


def step_of(integrate, transform):
    """One training-like step: velocity -> displacement -> doubled to full size -> warp -> gradient of the velocity."""

    @tf.function(jit_compile=False)
    def step(image, velocity):
        with tf.GradientTape() as tape:
            tape.watch(velocity)
            phi = integrate(velocity)
            for axis in (1, 2, 3):
                phi = tf.repeat(phi, 2, axis=axis)
            value = tf.reduce_sum(tf.square(transform([image, 2.0 * phi])))
        return value, tape.gradient(value, velocity)

    return step


def main(rounds=9):
    rng = np.random.default_rng(0)
    image = tf.constant(rng.random((1, *FULL, 1)), tf.float32)
    velocity = tf.constant(rng.normal(size=(1, *HALF, 3)), tf.float32)
    ours = step_of(layers.VecInt(int_steps=7), layers.SpatialTransformer(constant_image=True))
    theirs = step_of(voxelmorph.layers.VecInt(int_steps=7), voxelmorph.layers.SpatialTransformer())
    times = {"acsgreg_tf": [], "voxelmorph": []}
    for name, step in (("acsgreg_tf", ours), ("voxelmorph", theirs)):
        start = time.perf_counter()
        value, gradient = step(image, velocity)
        print(
            f"{name}: first call {time.perf_counter() - start:.1f} s, value {float(value):.4f}, "
            f"|gradient| {float(tf.norm(gradient)):.4f}"
        )
    for _ in range(rounds):  # in turn, so that a drift of the machine hits both
        for name, step in (("acsgreg_tf", ours), ("voxelmorph", theirs)):
            start = time.perf_counter()
            step(image, velocity)[1].numpy()
            times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name}: {1000 * median:.0f} ms (median of {rounds})")
    print(f"ratio {medians['voxelmorph'] / medians['acsgreg_tf']:.1f}")


if __name__ == "__main__":
    main()
