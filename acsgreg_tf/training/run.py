"""Training a network on pairs with `model.fit`: stages, logs, checkpoints, and resuming where a run stopped."""

import contextlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from acsgreg_tf.cohort.dataset import VertebraDataset
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import READ_FAULTS
from acsgreg_tf.io.hdf5 import check_hdf5
from acsgreg_tf.io.isolated import call_isolated
from acsgreg_tf.ops import distribution
from acsgreg_tf.training.batches import PairBatches, steps_per_epoch
from acsgreg_tf.training.callbacks import EpochLog, NetworkCheckpoint, StateSaver, tensorboard
from acsgreg_tf.training.model import STAGES, check_vertebrae, compile_for, training_model
from acsgreg_tf.training.parts import channels
from acsgreg_tf.training.recipe import Recipe
from acsgreg_tf.training.run_folder import Position, RunFolder


@dataclass(frozen=True)
class RunOptions:
    """What a run saves and shows as it goes; nothing here changes its result.

    Args:
        save_every: Steps between saved states, 1 or more (one is saved at each epoch's end and at Ctrl-C besides).
        tensorboard: Also write TensorBoard logs, which need TensorFlow on any backend; without it there is one warning.
        verbose: As in `keras.Model.fit`.
        callbacks: Keras callbacks of the caller, called after the run's own.
    """

    save_every: int = 100
    tensorboard: bool = True
    verbose: int | str = 1
    callbacks: Sequence[keras.callbacks.Callback] = ()

    def __post_init__(self) -> None:
        if self.save_every < 1:
            raise InputError(f"save_every {self.save_every}: must be at least 1")


def train(
    network: Any,
    vertebrae: VertebraDataset,
    recipe: Recipe,
    model_dir: str | os.PathLike,
    validation: VertebraDataset | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    options: RunOptions = RunOptions(),
) -> None:
    """Train a network on ordered pairs; its weights change in place.

    A network built under Keras's policy "mixed_float16" or "mixed_bfloat16", which must still be set, is trained in
    mixed precision; its weights and the files stay float32.

    Within the scope of a `tf.distribute` strategy, in which the network was made, each step's batch is shared by its
    replicas. Of several processes, which share `model_dir`, the chief writes; all read its state.

    Args:
        network: ACSGRegNet or AVoxelMorph.
        vertebrae: Training vertebrae; with labels the loss has the two label terms.
        recipe: How to train.
        model_dir: Folder for `best.h5`, `last.h5`, `log-*.csv`, `tensorboard/` and the state; made if missing.
        validation: Vertebrae whose loss chooses `best.h5`; None takes the training loss.
        resume: Go on where a run in this folder stopped, at that step.
        overwrite: Replace an earlier run in this folder, whose networks, logs and state are removed.
        options: What is saved and shown.

    Raises:
        InputError: Bad data, vertebrae of another shape than the network's, a folder that holds a run already (without
            `resume` or `overwrite`) or cannot be written, a state that does not fit, a loss that became NaN, a batch
            that the replicas cannot share.
        KeyboardInterrupt: After the state was saved; of several processes, with the state of the last save.
    """
    if resume and overwrite:
        raise InputError("resume and overwrite: give one of the two")
    _check_replicas(recipe)
    check_vertebrae(network, vertebrae, validation)
    folder, chief = RunFolder(model_dir), distribution.is_chief()
    if chief:
        folder.clear()
    if overwrite:
        if chief:
            folder.empty()
    elif not resume and folder.is_used():
        raise InputError(f"{model_dir}: holds a run already; --resume goes on with it, --overwrite replaces it")
    position, weights = Position(stage="affine" if recipe.affine_epochs else "joint"), None
    if resume:
        state = folder.state_to_resume(network, recipe, _digest(vertebrae, validation))
        position, weights = state.position, state.weights
    with contextlib.nullcontext() if chief else tempfile.TemporaryDirectory() as own:
        # The other processes do all that the chief does, since saving a network is work of all, and drop it.
        used = folder if own is None else RunFolder(own)
        _Trainer(network, vertebrae, validation, recipe, used, options).run(position, weights)


def _digest(vertebrae: VertebraDataset, validation: VertebraDataset | None) -> str:
    """Of the vertebrae that a run trains on and those that are held out: a resumed run keeps them."""
    return vertebrae.digest() + ("" if validation is None else f" {validation.digest()}")


def _check_replicas(recipe: Recipe) -> None:
    """Refuse what the replicas of a strategy cannot do."""
    replicas = distribution.replicas()
    if recipe.batch_size % replicas:
        raise InputError(f"batch_size {recipe.batch_size}: must be divisible by {replicas}, the devices that share it")
    if recipe.accumulate > 1 and replicas > 1:
        raise InputError(f"accumulate {recipe.accumulate}: works on one device, not on {replicas}")


@dataclass(frozen=True)
class _Trainer:
    """Trains a network from a position to the end, stage after stage."""

    network: Any
    vertebrae: VertebraDataset
    validation: VertebraDataset | None
    recipe: Recipe
    folder: RunFolder
    options: RunOptions

    def run(self, position: Position, weights: Path | None = None) -> None:
        """Train from `position`; `weights` is the file of the state that is resumed."""
        for stage in STAGES[STAGES.index(position.stage) :]:
            if stage != position.stage:
                position, weights = Position(stage), None
            self.run_stage(position, weights)

    def run_stage(self, position: Position, weights: Path | None) -> None:
        """Train the stage of `position` to its end."""
        recipe, affine = self.recipe, position.stage == "affine"
        epochs, rate = (recipe.affine_epochs, recipe.affine_lr) if affine else (recipe.epochs, recipe.lr)
        steps = steps_per_epoch(self.vertebrae, recipe.batch_size, recipe.steps_per_epoch)
        if not affine:
            position.step = max(position.step, recipe.initial_epoch * steps)
        finished = position.step >= epochs * steps
        if finished and weights is None:
            return
        parts = channels(self.vertebrae, recipe)
        model = training_model(self.network, self.vertebrae.has_labels, position.stage, recipe.warp_once, parts)
        compile_for(model, recipe, rate, epochs * steps)
        if weights is not None:
            try:
                call_isolated(check_hdf5, weights)
                model.load_weights(weights)
            except READ_FAULTS as error:
                raise InputError(f"{weights}: does not fit this network; start again without --resume") from error
        if not finished:  # else the run stopped between two stages, and the next one needs the weights of this one
            self.fit(model, position, epochs, steps)

    def fit(self, model: keras.Model, position: Position, epochs: int, steps: int) -> None:
        """Call `model.fit` from `position` to the end of the stage."""
        held_out = None
        if self.validation is not None:
            replicas = distribution.replicas()
            size = min(self.recipe.batch_size, len(self.validation.pairs()))
            size = max(size // replicas, 1) * replicas
            held_out = self.batches(self.validation, size, model).as_data()
        callbacks, saver = self.callbacks(position, steps)
        try:
            while position.step < epochs * steps:
                # A run stopped within an epoch first ends that one, so that epochs begin where they always do.
                epoch, within = divmod(position.step, steps)
                last_epoch = epoch + 1 if within else epochs
                batches = self.batches(
                    self.vertebrae,
                    self.recipe.batch_size,
                    model,
                    steps=steps,
                    first=position.step,
                    last=last_epoch * steps,
                    flip=self.recipe.flip,
                    augment=self.recipe.augment,
                )
                model.fit(
                    batches.as_data(),
                    shuffle=False,
                    steps_per_epoch=steps - within,
                    initial_epoch=epoch,
                    epochs=last_epoch,
                    validation_data=held_out,
                    callbacks=callbacks,
                    verbose=self.options.verbose,
                )
                if saver.lost:
                    raise InputError(
                        f"the loss became NaN at step {position.step}; begin another run from this one's last.h5 "
                        "(--load-weights) with a lower --lr"
                    )
                if model.stop_training:  # a caller's callback ended the stage
                    return
        except KeyboardInterrupt:
            if distribution.processes() == 1:  # saving is work of all, and the others may be at another step
                saver.save()
            raise

    def batches(self, vertebrae: VertebraDataset, size: int, model: keras.Model, **options: Any) -> PairBatches:
        """Batches with the targets of the model's outputs."""
        distances = self.recipe.label_loss == "distance"
        outputs = list(model.output_names)
        return PairBatches(vertebrae, size, seed=self.recipe.seed, outputs=outputs, distances=distances, **options)

    def callbacks(self, position: Position, steps: int) -> tuple[list[keras.callbacks.Callback], StateSaver]:
        """The callbacks of a stage in their order, and the one among them that saves the state."""
        path, joint = self.folder.path, position.stage == "joint"
        checkpoints = []
        if joint:
            checkpoints = [
                NetworkCheckpoint(path / "last.h5", self.network),
                NetworkCheckpoint(
                    path / "best.h5",
                    self.network,
                    monitor="loss" if self.validation is None else "val_loss",
                    mode="min",
                    save_best_only=True,
                    initial_value_threshold=position.best,
                ),
            ]
        best = checkpoints[-1] if joint else None
        data = _digest(self.vertebrae, self.validation)
        saver = StateSaver(self.folder, self.recipe, position, steps, self.options.save_every, best, data)
        log = EpochLog(path / f"log-{position.stage}.csv", position)
        callbacks = [log, *checkpoints, saver, keras.callbacks.TerminateOnNaN()]
        if self.options.tensorboard:
            callbacks += tensorboard(path / "tensorboard" / position.stage)
        return [*callbacks, *self.options.callbacks], saver
