"""Keras callbacks of a training run."""

import csv
import importlib.util
import time
import warnings

import keras


class Progress(keras.callbacks.Callback):
    """Writes a CSV row and checkpoints as training goes; the run's last network is whole whenever it is stopped."""

    def __init__(self, folder, network, recipe, position, steps, save_every, monitor):
        super().__init__()
        self.folder, self.network, self.recipe, self.position = folder, network, recipe, position
        self.steps, self.save_every, self.monitor = steps, save_every, monitor
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.position.step += 1
        if self.position.step % self.save_every == 0 and self.position.step % self.steps:
            self.folder.save_state(self.model, self.position, self.recipe)

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        stage = self.position.stage
        row = {"stage": stage, "epoch": epoch + 1, "step": self.position.step}
        row |= {"seconds": round(time.perf_counter() - self.started, 1)}
        row |= {name: float(value) for name, value in logs.items()}
        path = self.folder.path / f"log-{stage}.csv"
        new = not path.exists()
        with open(path, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)
        if stage == "joint":
            self.network.save(self.folder.path / "last.h5")
            value = float(logs.get(self.monitor, logs["loss"]))
            if value < self.position.best:
                self.position.best = value
                self.network.save(self.folder.path / "best.h5")
        self.folder.save_state(self.model, self.position, self.recipe)


def can_write_tensorboard():
    if importlib.util.find_spec("tensorflow") is not None:
        return True
    warnings.warn("TensorBoard's logs need TensorFlow, which is not installed; the CSV log is written", stacklevel=3)
    return False
