"""What a training run writes as it goes: the log, the networks, and the state that it resumes from."""

import csv
import importlib.util
import math
import os
import time
import warnings
from collections.abc import Mapping
from typing import Any

import keras

from acsgreg_tf.io.tables import write_table
from acsgreg_tf.ops import distribution
from acsgreg_tf.training.recipe import Recipe
from acsgreg_tf.training.run_folder import Position, RunFolder


def has_finite_loss(logs: Mapping[str, Any] | None) -> bool:
    """Whether Keras's logs hold no loss that is NaN or infinite."""
    loss = (logs or {}).get("loss")
    return loss is None or math.isfinite(float(loss))


class EpochLog(keras.callbacks.Callback):
    """Appends a row an epoch to a CSV file: stage, epoch (from 1), step, seconds, then Keras's logs.

    Not `keras.callbacks.CSVLogger`, which counts from 0 and sorts its columns: resumed runs append to existing files.
    """

    def __init__(self, path: str | os.PathLike, position: Position) -> None:
        super().__init__()
        self.path, self.position = path, position
        self.started = time.perf_counter()
        self._drop_later_rows()

    def _drop_later_rows(self) -> None:
        """Drop the rows of epochs that end after the position: those of a killed run, which are trained again."""
        if not os.path.exists(self.path):
            return
        with open(self.path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), reader.fieldnames or ()
        earlier = [row for row in rows if None not in row.values() and int(row["step"]) <= self.position.step]
        if not earlier:
            os.unlink(self.path)
        elif len(earlier) < len(rows):
            write_table(self.path, columns, earlier)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Write the row."""
        row = {"stage": self.position.stage, "epoch": epoch + 1, "step": self.position.step}
        row["seconds"] = round(time.perf_counter() - self.started, 1)
        row |= {name: float(value) for name, value in (logs or {}).items()}
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, row)
            if not file.tell():
                writer.writeheader()
            writer.writerow(row)


class NetworkCheckpoint(keras.callbacks.ModelCheckpoint):
    """Keras's ModelCheckpoint of a network, rather than of the training model around it.

    Args:
        path: The file, .h5 or .keras, replaced at each save.
        network: The network that is saved.
        options: As ModelCheckpoint's.
    """

    def __init__(self, path: str | os.PathLike, network: keras.Model, **options: Any) -> None:
        # Keras fills in braces in the path.
        super().__init__(os.fspath(path).replace("{", "{{").replace("}", "}}"), **options)
        self.network = network
        self.trained: Any = None

    def set_model(self, model: keras.Model) -> None:
        """Save the network instead of the model that is trained, whose layers it shares."""
        self.trained = model
        super().set_model(self.network)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Save, with the weights as they are after the epoch, unless its loss is no number."""
        if not has_finite_loss(logs):
            return
        if hasattr(self.trained, "jax_state_sync"):  # while JAX trains, the variables hold older values
            self.trained.jax_state_sync()
        super().on_epoch_end(epoch, logs)


class StateSaver(keras.callbacks.Callback):
    """Counts steps and saves the state every so many of them and at each epoch's end.

    Args:
        folder: Where it is saved.
        recipe: Saved with it.
        position: Counted on in place.
        epoch_steps: Steps of an epoch; at its end the log is written first.
        save_every: Steps between saves.
        best: The checkpoint whose best value is part of the state, or None.
        data: Digest of the vertebrae, saved with it.
    """

    def __init__(
        self,
        folder: RunFolder,
        recipe: Recipe,
        position: Position,
        epoch_steps: int,
        save_every: int,
        best: NetworkCheckpoint | None = None,
        data: str = "",
    ) -> None:
        super().__init__()
        self.folder, self.recipe, self.position, self.data = folder, recipe, position, data
        self.epoch_steps, self.save_every, self.best = epoch_steps, save_every, best
        # Whether a loss was no number, as the weights are not then.
        self.lost = False

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Go on with the means of an epoch that was stopped within; Keras has set them to zero."""
        variables = self._means()
        if len(variables) == len(self.position.means):
            for variable, value in zip(variables, self.position.means):
                variable.assign(value)

    def _means(self) -> list[Any]:
        return [variable for metric in self.model.metrics for variable in metric.variables]

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Count the step; save if it is time."""
        self.position.step += 1
        if not has_finite_loss(logs):
            self.lost = True
        if self.position.step % self.save_every == 0 and self.position.step % self.epoch_steps:
            self.save()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Save with the best loss so far."""
        self.save()
        self.position.means = []

    def save(self) -> None:
        """Save the state as it is, unless its weights are lost."""
        if self.lost:
            return
        if self.best is not None:
            self.position.best = float(self.best.best)
        within = self.position.step % self.epoch_steps
        self.position.means = [distribution.number(variable) for variable in self._means()] if within else []
        self.folder.save_state(self.model, self.position, self.recipe, self.data)


def tensorboard(folder: str | os.PathLike) -> list[keras.callbacks.Callback]:
    """Keras's TensorBoard callback that writes to `folder`; none, with a warning, where TensorFlow is not installed."""
    if importlib.util.find_spec("tensorflow") is None:
        warnings.warn(
            "TensorBoard's logs need TensorFlow, which is not installed; the CSV log is written", stacklevel=2
        )
        return []
    return [keras.callbacks.TensorBoard(os.fspath(folder), write_graph=False)]
