"""A short training run in a process of its own, on one device, on two logical CPUs, or as one of several processes.

    python -m tests.training.replicas one|two|process FOLDER [resume]

reads FOLDER/vertebrae.npz and writes the run to FOLDER/run and this process's weights to FOLDER/weights-TASK.npz.
"""

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path

import keras
import numpy as np

from acsgreg_tf import training
from acsgreg_tf.cohort.dataset import Vertebrae
from acsgreg_tf.networks import ACSGRegNet
from acsgreg_tf.ops import distribution
from acsgreg_tf.training import Recipe, RunOptions

SHAPE = (16, 16, 16)
# The norm is one that clips, which the sum over the replicas must be clipped to.
RECIPE = Recipe(
    epochs=2, batch_size=2, lr=2e-3, steps_per_epoch=3, window=5, lambdas=(0.1, 0.7, 0.01, 0.1, 0.5), clip_norm=0.05
)


class StopAfter(keras.callbacks.Callback):
    """Ctrl-C after some steps."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def scope(kind):
    import tensorflow as tf

    if kind == "one":
        return nullcontext()
    if kind == "process":
        return distribution.devices()
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope()


def main(kind, folder, *steps):
    folder = Path(folder)
    with scope(kind):
        keras.utils.set_random_seed(0)
        network = ACSGRegNet(
            SHAPE, affine_features=(4, 4), encoder_features=(4, 4), width=8, layers=1, heads=2, normalization="none"
        )
        crops = [str(folder.parent / f"{i}_{what}.nii.gz") for what in ("ct", "seg") for i in range(4)]
        vertebrae = Vertebrae(crops[:4], crops[4:])
        for stop in (*map(int, steps), None):
            callbacks = [StopAfter(stop)] if stop else []
            options = RunOptions(save_every=1, tensorboard=False, verbose=0, callbacks=callbacks)
            resume = stop is None and bool(steps)
            try:
                training.train(network, vertebrae, RECIPE, folder / "run", vertebrae, resume=resume, options=options)
            except KeyboardInterrupt:
                network.set_weights([np.zeros_like(weights) for weights in network.get_weights()])
        task = json.loads(os.environ.get("TF_CONFIG", '{"task": {"index": 0}}'))["task"]["index"]
        np.savez(folder / f"weights-{task}.npz", *network.get_weights())
        print(distribution.replicas(), distribution.processes(), distribution.is_chief())


if __name__ == "__main__":
    main(*sys.argv[1:])
