"""Training of a network on pairs with `model.fit`."""

from acsgreg_tf.training.batches import PairBatches
from acsgreg_tf.training.model import WarmCosine, compile_for, losses_of, training_model
from acsgreg_tf.training.recipe import Recipe
from acsgreg_tf.training.run import train
from acsgreg_tf.training.run_folder import RunFolder

__all__ = ["PairBatches", "Recipe", "RunFolder", "WarmCosine", "compile_for", "losses_of", "train", "training_model"]
