"""Seconds of a training step with all losses, against the network's bare forward and backward pass.

    python benchmarks/training_step.py --size paper --steps 10 [--warp-once] [--parts 2] [--cpu-time]

Batch 1 of noise at 128 x 128 x 64 on the CPU, both compiled as `fit` is. Bare: the network's outputs and the
gradient of their mean squares by all weights. Whole: warped labels, the paper's five terms, gradients and Adam. The two
take turns; the median of each is printed.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from acsgreg_tf import networks, training
from acsgreg_tf.ops.backend import jit_compile
from acsgreg_tf.training.batches import batch_of


def main() -> None:
    """Time the two in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="paper", choices=list(networks.SIZES["ACSGRegNet"]))
    parser.add_argument("--steps", type=int, default=10, help="of each (default: %(default)s)")
    parser.add_argument("--warp-once", action="store_true", help="as in train.py")
    parser.add_argument("--parts", type=int, default=0, metavar="P", help="masks of parts (train.py draws 2 a pair)")
    parser.add_argument(
        "--cpu-time", action="store_true", help="seconds of all cores, which other work on the machine changes little"
    )
    options = parser.parse_args()
    clock = time.process_time if options.cpu_time else time.perf_counter

    network = networks.ACSGRegNet(**networks.SIZES["ACSGRegNet"][options.size])
    model = training.training_model(network, labels=True, warp_once=options.warp_once, parts=options.parts)
    recipe = training.Recipe(batch_size=1, warp_once=options.warp_once)
    training.compile_for(model, recipe, 1e-5, options.steps)
    rng = np.random.default_rng(0)
    names = ("fixed", "moving", "fixed_seg", "moving_seg")
    volumes = {name: rng.random((1, *network.inshape, 1)).astype("float32") for name in names}
    if options.parts:
        shape = (1, *network.inshape, options.parts)
        volumes |= {f"{side}_parts": rng.random(shape).astype("float32") for side in ("fixed", "moving")}
    inputs, targets = batch_of(volumes, list(model.output_names))
    images = {name: tf.constant(volumes[name]) for name in ("fixed", "moving")}

    @tf.function(jit_compile=jit_compile())
    def bare(images: dict[str, tf.Tensor]) -> tf.Tensor:
        with tf.GradientTape() as tape:
            outputs = network(images, training=True)
            total = tf.add_n([tf.reduce_mean(tf.square(outputs[name])) for name in ("m_a", "m_d", "phi")])
        return tf.add_n([tf.reduce_sum(g) for g in tape.gradient(total, network.trainable_variables) if g is not None])

    def seconds(call: Callable[[], object]) -> float:
        begun = clock()
        np.asarray(call())
        return clock() - begun

    calls: dict[str, Callable[[], object]] = {
        "bare": lambda: bare(images),
        "whole": lambda: model.train_on_batch(inputs, targets),
    }
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(options.steps + 1):
        for name, call in calls.items():
            taken[name].append(seconds(call))
    medians = {name: statistics.median(times[1:]) for name, times in taken.items()}
    print(f"{options.size}: {network.count_params():,} parameters, load {os.getloadavg()[0]:.1f}")
    print(" ".join(f"{name} {value:.2f} s" for name, value in medians.items()))
    print(f"ratio {medians['whole'] / medians['bare']:.2f}")


if __name__ == "__main__":
    main()
