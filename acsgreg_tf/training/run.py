"""Training a network on pairs with `model.fit`: the loss of Eq. 9, logs, checkpoints, and resuming where a run stopped."""

import json
import signal
from dataclasses import asdict

import keras

from acsgreg_tf.errors import InputError
from acsgreg_tf.ops.backend import is_tensorflow
from acsgreg_tf.training.batches import PairBatches
from acsgreg_tf.training.callbacks import Progress, can_write_tensorboard
from acsgreg_tf.training.model import compile_for, training_model
from acsgreg_tf.training.recipe import Recipe
from acsgreg_tf.training.run_folder import Position, RunFolder, identity


def _as_data(batches):
    return batches.as_tf_dataset() if is_tensorflow() else batches


def _run_stage(network, train, validation, recipe, folder, position, weights, save_every, tensorboard, verbose):
    """Train one stage from `position` to its end."""
    affine = position.stage == "affine"
    epochs, rate = (recipe.affine_epochs, recipe.affine_lr) if affine else (recipe.epochs, recipe.lr)
    steps = PairBatches(train, recipe.batch_size, recipe.steps_per_epoch).steps
    if not affine:
        position.step = max(position.step, recipe.initial_epoch * steps)
    if position.step >= epochs * steps and weights is None:
        return
    model = training_model(network, train.has_labels, position.stage, recipe.warp_once)
    compile_for(model, recipe, rate, epochs * steps)
    if weights is not None:
        try:
            model.load_weights(weights)
        except (ValueError, OSError, KeyError) as error:
            raise InputError(f"{weights}: does not fit this network; start again without --resume") from error
    if position.step >= epochs * steps:  # stopped between two stages: what this one learned is loaded all the same
        return
    names = list(model.output_names)
    held_out, monitor, distances = None, "loss", recipe.label_loss == "distance"
    if validation is not None:
        size = min(recipe.batch_size, len(validation.pairs()))
        held_out = _as_data(PairBatches(validation, size, seed=recipe.seed, outputs=names, distances=distances))
        monitor = "val_loss"
    progress = Progress(folder, network, recipe, position, steps, save_every, monitor)
    callbacks = [progress, keras.callbacks.TerminateOnNaN()]
    if tensorboard and can_write_tensorboard():
        callbacks.append(
            keras.callbacks.TensorBoard(str(folder.path / "tensorboard" / position.stage), write_graph=False)
        )
    try:
        while position.step < epochs * steps:
            # A run stopped inside an epoch first ends that one, so that epochs keep their borders.
            epoch, within = divmod(position.step, steps)
            until = epoch + 1 if within else epochs
            last = until * steps
            batches = PairBatches(
                train,
                recipe.batch_size,
                steps,
                recipe.seed,
                position.step,
                last,
                recipe.flip,
                names,
                recipe.augment,
                distances,
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

    A network made under Keras's policy "mixed_float16" or "mixed_bfloat16" (`keras.config.set_dtype_policy`, still set) is
    trained in mixed precision; its weights stay float32, and so do the files.

    Args:
        network: ACSGRegNet or AVoxelMorph.
        vertebrae: Vertebrae to train on; with labels the two Dice terms are in the loss.
        recipe: Recipe.
        model_dir: folder for `best.h5`, `last.h5`, `log-*.csv`, `tensorboard/` and the state (made if missing).
        validation: Vertebrae for the loss that chooses `best.h5`; the training loss without them.
        resume: go on where a run in this folder stopped, at that step.
        save_every: steps between saved states (also at each epoch's end, and at Ctrl-C or SIGTERM).
        tensorboard: also write TensorBoard logs, which needs TensorFlow whatever the backend; without it a warning says so.
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
        # The state of an older version lacks newer options.
        saved = json.loads(json.dumps({**asdict(Recipe()), "precision": "float32"})) | saved
        current = json.loads(json.dumps(identity(recipe, network)))
        changed = [name for name in current if saved.get(name) != current[name] and name != "epochs"]
        if changed:
            raise InputError(
                f"{model_dir}: was trained with another {', '.join(changed)}; a resumed run keeps its recipe"
            )
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
