"""A trained network, trained a little further on one's own vertebrae: one call, nothing written."""

from collections.abc import Sequence
from typing import Any

import keras

from acsgreg_tf.cohort.dataset import VertebraDataset
from acsgreg_tf.errors import InputError
from acsgreg_tf.training.batches import PairBatches
from acsgreg_tf.training.model import check_vertebrae, compile_for, training_model
from acsgreg_tf.training.parts import channels
from acsgreg_tf.training.recipe import Recipe

# The last run of the shipped network (models/README.md), at a quarter of its learning rate.
FINE_TUNING = Recipe(
    epochs=1,
    batch_size=1,
    lr=1e-4,
    schedule="cosine",
    clip_norm=1.0,
    lambdas=(0.0, 1.0, 0.05, 0.3, 2.0),
    window=7,
    flip=True,
    warp_once=True,
)


def fine_tune(
    network: Any,
    vertebrae: VertebraDataset,
    steps: int = 100,
    *,
    recipe: Recipe = FINE_TUNING,
    validation: VertebraDataset | None = None,
    verbose: int | str = "auto",
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> keras.callbacks.History:
    """Train a network further on ordered pairs; its weights change in place, and `network.save` writes them.

    For hours of training, with logs and a state to resume from, use `train`.

    Args:
        network: ACSGRegNet or AVoxelMorph, such as `ACSGRegNet.from_preset("lumbar")`.
        vertebrae: Crops of the network's shape, such as `Vertebrae(images, labels, groups=levels)`; with labels the
            loss has the two label terms.
        steps: Training steps an epoch, one batch each.
        recipe: How to train. Of its stages only the joint one is run; its `steps_per_epoch` is not used.
        validation: Vertebrae whose loss is measured at the end of each epoch.
        verbose: As in `keras.Model.fit`.
        callbacks: Keras callbacks.

    Returns:
        Keras's History: the loss and its terms (m_d_loss, ...) by epoch.

    Raises:
        InputError: Vertebrae of another shape than the network's, no pairs, or a number of steps below 1.
    """
    if steps < 1:
        raise InputError(f"steps {steps}: must be at least 1")
    check_vertebrae(network, vertebrae, validation)
    parts = channels(vertebrae, recipe)
    model = training_model(network, vertebrae.has_labels, warp_once=recipe.warp_once, parts=parts)
    compile_for(model, recipe, recipe.lr, recipe.epochs * steps)
    options: dict[str, Any] = {
        "outputs": list(model.output_names),
        "distances": recipe.label_loss == "distance",
        "seed": recipe.seed,
    }
    last = recipe.epochs * steps
    batches = PairBatches(
        vertebrae, recipe.batch_size, steps, last=last, flip=recipe.flip, augment=recipe.augment, **options
    )
    held_out = None
    if validation is not None:
        held_out = PairBatches(validation, min(recipe.batch_size, len(validation.pairs())), **options).as_data()
    return model.fit(
        batches.as_data(),
        shuffle=False,
        epochs=recipe.epochs,
        steps_per_epoch=steps,
        validation_data=held_out,
        callbacks=[keras.callbacks.TerminateOnNaN(), *callbacks],
        verbose=verbose,
    )
