"""Training of a network on pairs with `model.fit`."""

from acsgreg_tf.training.batches import PairBatches, steps_per_epoch
from acsgreg_tf.training.model import compile_for, learning_rate, losses_of, training_model
from acsgreg_tf.training.recipe import Recipe
from acsgreg_tf.training.run import RunOptions, train
from acsgreg_tf.training.run_folder import Position, RunFolder

__all__ = [
    "PairBatches",
    "Position",
    "Recipe",
    "RunFolder",
    "RunOptions",
    "compile_for",
    "learning_rate",
    "losses_of",
    "steps_per_epoch",
    "train",
    "training_model",
]
