"""Training a network on pairs with `model.fit`: the loss of Eq. 9, logs, checkpoints, and resuming where a run stopped."""

import csv
import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
from keras import ops

from acsgreg_tf.data.images import atomic_path
from acsgreg_tf.data.pairs import PairBatches
from acsgreg_tf.errors import InputError
from acsgreg_tf.layers import SpatialTransformer
from acsgreg_tf.losses import IMAGE_LOSSES, PAPER_LAMBDAS, Diffusion, SoftDice

STATE = "state.json"


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults are the paper's (section 3.2), except what it does not say.

    Args:
        epochs, batch_size, lr: of the joint stage.
        steps_per_epoch: None takes every ordered pair once an epoch.
        lambdas: the five weights of Eq. 9: L_a, L_d, L_smooth, L_a_seg, L_d_seg.
        image_loss: "lncc" (alias "ncc") or "mse".
        window: side of LNCC's window.
        affine_epochs: epochs in which AffineNet is trained alone first, with `affine_lr`; 0 is the paper's.
        schedule: "constant", or "cosine" (to zero at the last step).
        warmup_steps: steps over which the learning rate rises from 0.
        clip_norm: global norm to which gradients are cut; None leaves them.
        flip: mirror pairs left-right at random.
        initial_epoch: where the count of joint epochs begins (voxelmorph's habit after --load-weights).
        seed: of weights and of the order of pairs.
    """

    epochs: int = 60
    batch_size: int = 8
    lr: float = 1e-5
    steps_per_epoch: int | None = None
    lambdas: tuple = PAPER_LAMBDAS
    image_loss: str = "lncc"
    window: int = 9
    affine_epochs: int = 0
    affine_lr: float = 1e-3
    schedule: str = "constant"
    warmup_steps: int = 0
    clip_norm: float | None = None
    flip: bool = False
    initial_epoch: int = 0
    seed: int = 0

    def __post_init__(self):
        checks = {
            "epochs": self.epochs >= 1,
            "batch_size": self.batch_size >= 1,
            "lr": self.lr > 0,
            "affine_lr": self.affine_lr > 0,
            "steps_per_epoch": self.steps_per_epoch is None or self.steps_per_epoch >= 1,
            "affine_epochs": self.affine_epochs >= 0,
            "initial_epoch": 0 <= self.initial_epoch < self.epochs,
            "warmup_steps": self.warmup_steps >= 0,
            "clip_norm": self.clip_norm is None or self.clip_norm > 0,
            "window": self.window >= 3 and self.window % 2 == 1,
            "lambdas": len(self.lambdas) == 5 and all(weight >= 0 for weight in self.lambdas),
            "image_loss": self.image_loss in IMAGE_LOSSES,
            "schedule": self.schedule in ("constant", "cosine"),
        }
        for name, good in checks.items():
            if not good:
                raise InputError(f"{name}: {getattr(self, name)!r} is not a value that training can use")


def training_model(network, labels, stage="joint"):
    """The network with what its loss needs: outputs m_a, m_d, phi, and with labels m_a_seg and m_d_seg (warped moving_seg).

    Without labels the two Dice terms are absent. Stage "affine" stops after AffineNet: m_a [, m_a_seg].
    """
    inputs = dict(network.inputs_by_name)
    if stage == "affine":
        affine = network.affine_net(inputs)
        m_a = SpatialTransformer(constant_image=True, name="m_a", dtype="float32")([inputs["moving"], affine])
        outputs = {"m_a": m_a}
    else:
        found = network.outputs_by_name
        affine = found["affine"]
        outputs = {name: found[name] for name in ("m_a", "m_d", "phi")}
    if labels:
        inputs["moving_seg"] = keras.Input((*network.inshape, 1), name="moving_seg")
        moved = SpatialTransformer(constant_image=True, name="m_a_seg", dtype="float32")([inputs["moving_seg"], affine])
        outputs["m_a_seg"] = moved
        if stage != "affine":
            outputs["m_d_seg"] = SpatialTransformer(name="m_d_seg", dtype="float32")([moved, outputs["phi"]])
    # An output of a functional model goes by its key here, and its loss by the same name.
    return keras.Model(inputs=inputs, outputs=outputs, name=f"{stage}_training")


def losses_of(recipe, names):
    """Loss and weight of each named output (Eq. 9). A term of weight 0 is left out, and costs nothing."""
    l_a, l_d, l_smooth, l_a_seg, l_d_seg = recipe.lambdas
    kind = IMAGE_LOSSES[recipe.image_loss]
    image = (lambda: kind(window=recipe.window)) if recipe.image_loss != "mse" else kind
    terms = {
        "m_a": (image(), l_a),
        "m_d": (image(), l_d),
        "phi": (Diffusion(), l_smooth),
        "m_a_seg": (SoftDice(), l_a_seg),
        "m_d_seg": (SoftDice(), l_d_seg),
    }
    if not any(terms[name][1] for name in names):
        raise InputError(f"lambdas: {recipe.lambdas} leave no loss for the outputs {', '.join(names)}")
    losses = {name: terms[name][0] if terms[name][1] else None for name in names}
    return losses, {name: terms[name][1] for name in names}


@keras.saving.register_keras_serializable("acsgreg_tf")
class WarmCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate that rises linearly over `warmup` steps, then stays, or falls along a cosine to zero at `total`."""

    def __init__(self, peak, total, warmup=0, cosine=True):
        self.peak, self.total, self.warmup, self.cosine = peak, total, warmup, cosine

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rate = ops.minimum((step + 1.0) / max(self.warmup, 1), 1.0) * self.peak
        if self.cosine:
            done = ops.clip((step - self.warmup) / max(self.total - self.warmup, 1), 0.0, 1.0)
            rate = rate * 0.5 * (1.0 + ops.cos(np.pi * done))
        return rate

    def get_config(self):
        return {"peak": self.peak, "total": self.total, "warmup": self.warmup, "cosine": self.cosine}


def compile_for(model, recipe, rate, total):
    """Compile a training model for `total` steps; all variables are made at once, so that the first step is traced once."""
    losses, weights = losses_of(recipe, model.output_names)
    schedule = WarmCosine(rate, total, recipe.warmup_steps, recipe.schedule == "cosine")
    optimizer = keras.optimizers.Adam(schedule, global_clipnorm=recipe.clip_norm)
    # XLA makes the convolutions 8 times slower on a CPU; what gains from it is compiled inside the ops.
    jit = False if keras.backend.backend() == "tensorflow" else "auto"
    model.compile(optimizer=optimizer, loss=losses, loss_weights=weights, jit_compile=jit)
    optimizer.build(model.trainable_variables)
    # So are the losses' running means, which Keras makes at their first use: TensorFlow traces a step that made one again.
    side = [recipe.window] * 3
    blank = {name: ops.zeros((1, *side, 3 if name == "phi" else 1)) for name in model.output_names}
    model.compute_loss(y=blank, y_pred=blank)
    model.reset_metrics()


@dataclass
class Position:
    """Where a run is: the stage, and the number of steps done in it."""

    stage: str = "joint"
    step: int = 0
    best: float = float("inf")


class RunFolder:
    """The files of one run: logs, the best and the last network, and the state from which it resumes."""

    def __init__(self, path):
        self.path = Path(path)
        try:
            self.path.mkdir(exist_ok=True)
            if not os.access(self.path, os.W_OK):
                raise PermissionError
        except OSError as error:
            raise InputError(f"{path}: the model folder cannot be made or written ({error.__class__.__name__})") from error

    def save_state(self, model, position, recipe):
        """Weights with the optimiser's moments, then the note that names them: a run stopped between the two loses nothing."""
        weights = f"state-{position.stage}-{position.step:07d}.weights.h5"
        with atomic_path(self.path / weights) as partial:
            model.save_weights(partial)
        with atomic_path(self.path / STATE) as partial:
            state = {**asdict(position), "weights": weights, "recipe": asdict(recipe)}
            Path(partial).write_text(json.dumps(state), encoding="utf-8")
        for old in self.path.glob("state-*.weights.h5"):
            if old.name != weights:
                old.unlink()

    def read_state(self):
        """(Position, path of its weights, recipe as a dict), or None where nothing was saved.

        Raises:
            InputError: the state is damaged.
        """
        note = self.path / STATE
        if not note.exists():
            return None
        try:
            state = json.loads(note.read_text(encoding="utf-8"))
            weights = self.path / state.pop("weights")
            recipe = state.pop("recipe")
            position = Position(**state)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{note}: a damaged training state; start again without --resume") from error
        if not weights.is_file():
            raise InputError(f"{note}: its weights file {weights.name} is missing; start again without --resume")
        return position, weights, recipe


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


def _as_data(batches):
    return batches.as_tf_dataset() if keras.backend.backend() == "tensorflow" else batches


def _run_stage(network, train, validation, recipe, folder, position, weights, save_every, tensorboard, verbose):
    """Train one stage from `position` to its end."""
    affine = position.stage == "affine"
    epochs, rate = (recipe.affine_epochs, recipe.affine_lr) if affine else (recipe.epochs, recipe.lr)
    steps = PairBatches(train, recipe.batch_size, recipe.steps_per_epoch).steps
    if not affine:
        position.step = max(position.step, recipe.initial_epoch * steps)
    if position.step >= epochs * steps and weights is None:
        return
    model = training_model(network, train.labels is not None, position.stage)
    compile_for(model, recipe, rate, epochs * steps)
    if weights is not None:
        try:
            model.load_weights(weights)
        except (ValueError, OSError, KeyError) as error:
            raise InputError(f"{weights}: does not fit this network; start again without --resume") from error
    if position.step >= epochs * steps:  # stopped between two stages: what this one learned is loaded all the same
        return
    names = list(model.output_names)
    held_out, monitor = None, "loss"
    if validation is not None:
        size = min(recipe.batch_size, len(validation.pairs()))
        held_out, monitor = _as_data(PairBatches(validation, size, seed=recipe.seed, outputs=names)), "val_loss"
    progress = Progress(folder, network, recipe, position, steps, save_every, monitor)
    callbacks = [progress, keras.callbacks.TerminateOnNaN()]
    if tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(str(folder.path / "tensorboard" / position.stage), write_graph=False))
    try:
        while position.step < epochs * steps:
            # A run stopped inside an epoch first ends that one, so that epochs keep their borders.
            epoch, within = divmod(position.step, steps)
            until = epoch + 1 if within else epochs
            last = until * steps
            batches = PairBatches(
                train, recipe.batch_size, steps, recipe.seed, position.step, last, recipe.flip, names
            )
            model.fit(
                _as_data(batches),
                shuffle=False,
                steps_per_epoch=steps - within,
                initial_epoch=epoch,
                epochs=until,
                validation_data=held_out,
                callbacks=callbacks,
                verbose=verbose,
            )
            if model.stop_training:
                raise InputError(f"the loss became NaN at step {position.step}; lower --lr")
    except KeyboardInterrupt:
        folder.save_state(model, position, recipe)
        raise


def train(
    network, vertebrae, recipe, model_dir, validation=None, resume=False, save_every=100, tensorboard=True, verbose=1
):
    """Train a network on ordered pairs; its weights change in place.

    Args:
        network: ACSGRegNet or AVoxelMorph.
        vertebrae: Vertebrae to train on; with labels the two Dice terms are in the loss.
        recipe: Recipe.
        model_dir: folder for `best.h5`, `last.h5`, `log-*.csv`, `tensorboard/` and the state (made if missing).
        validation: Vertebrae for the loss that chooses `best.h5`; the training loss without them.
        resume: go on where a run in this folder stopped, at that step.
        save_every: steps between saved states (also at each epoch's end, and at Ctrl-C or SIGTERM).
        tensorboard: also write TensorBoard logs.
        verbose: as in keras.Model.fit.

    Raises:
        InputError: bad data or recipe, a folder that cannot be written, a state that does not fit, a loss that became NaN.
        KeyboardInterrupt: after the state was saved.
    """
    folder = RunFolder(model_dir)
    position, weights = Position(stage="affine" if recipe.affine_epochs else "joint"), None
    if resume:
        state = folder.read_state()
        if state is None:
            raise InputError(f"{model_dir}: nothing to resume")
        position, weights, saved = state
        current = json.loads(json.dumps(asdict(recipe)))
        changed = [name for name in current if saved.get(name) != current[name] and name != "epochs"]
        if changed:
            raise InputError(f"{model_dir}: was trained with another {', '.join(changed)}; a resumed run keeps its recipe")
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        for stage in ("affine", "joint"):
            if stage != position.stage:
                continue
            _run_stage(
                network, vertebrae, validation, recipe, folder, position, weights, save_every, tensorboard, verbose
            )
            if stage == "affine":
                position, weights = Position(stage="joint"), None
    finally:
        signal.signal(signal.SIGTERM, previous)


def _interrupt(number, frame):
    raise KeyboardInterrupt
