"""Refinement: seconds of optimisation for one pair, from a network's answer or from nothing.

Keras is imported with the first function, not with the defaults that command lines show.
"""

import importlib

# Steps of `--refine` without a number, and the weight of the displacement's mean squared gradient (docs/lab/refinement_experiments.md).
DEFAULT_STEPS = 50
DEFAULT_SMOOTHNESS = 3.0

__all__ = ["DEFAULT_SMOOTHNESS", "DEFAULT_STEPS", "Refined", "refine", "without_folds"]


def __getattr__(name):
    if name in __all__:
        return getattr(importlib.import_module("acsgreg_tf.registration.refine.optimise"), name)
    raise AttributeError(f"module 'acsgreg_tf.registration.refine' has no attribute {name!r}")
