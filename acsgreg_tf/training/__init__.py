"""Training of a network on pairs with `model.fit`."""

from acsgreg_tf.cohort.dataset import Vertebrae
from acsgreg_tf.training.batches import PairBatches, steps_per_epoch
from acsgreg_tf.training.fine_tune import FINE_TUNING, fine_tune
from acsgreg_tf.training.model import compile_for, learning_rate, losses_of, training_model
from acsgreg_tf.training.recipe import Recipe
from acsgreg_tf.training.run import RunOptions, train
from acsgreg_tf.training.run_folder import Position, RunFolder

__all__ = [
    "FINE_TUNING",
    "PairBatches",
    "Position",
    "Recipe",
    "RunFolder",
    "RunOptions",
    "Vertebrae",
    "compile_for",
    "fine_tune",
    "learning_rate",
    "losses_of",
    "steps_per_epoch",
    "train",
    "training_model",
]
