"""How long a network's first training steps take through `model.fit`: tracing and compiling, then the steps themselves.

    python benchmarks/first_step.py [--size paper|compact] [--steps 3]

Batch 1 of noise at 128 x 128 x 64, with labels, on the CPU's TensorFlow. Prints seconds a step.
"""

import argparse
import time

import keras
import numpy as np
import tensorflow as tf

from acsgreg_tf import networks, training
from acsgreg_tf.training.batches import batch_of


class Stopwatch(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        self.begun = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        print(f"step {batch + 1}: {time.perf_counter() - self.begun:.1f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="paper", choices=list(networks.SIZES["ACSGRegNet"]))
    parser.add_argument("--steps", type=int, default=3)
    options = parser.parse_args()

    network = networks.ACSGRegNet(**networks.SIZES["ACSGRegNet"][options.size])
    model = training.training_model(network, labels=True)
    training.compile_for(model, training.Recipe(batch_size=1), 1e-5, options.steps)
    rng = np.random.default_rng(0)
    names = ("fixed", "moving", "fixed_seg", "moving_seg")
    volumes = {name: rng.random((1, *network.inshape, 1)).astype("float32") for name in names}
    data = tf.data.Dataset.from_tensors(batch_of(volumes, list(model.output_names))).repeat(options.steps)
    print(f"{options.size}: {network.count_params():,} parameters")
    model.fit(data, callbacks=[Stopwatch()], verbose=0)


if __name__ == "__main__":
    main()
