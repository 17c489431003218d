"""Refinement: seconds of optimisation for one pair, from a network's estimate or from nothing.

numba is imported with `refine`, not with the defaults and rules that command lines need.
"""

import importlib
import math
import numbers
from typing import Any

from acsgreg_tf.errors import InputError

# Steps after a network where no number is asked for, and those of a whole refinement: `--refine` without a number, or
# without a network; the weight of the displacement's mean squared gradient (docs/lab/refinement_experiments.md).
DEFAULT_STEPS = 8
FULL_STEPS = 50
DEFAULT_SMOOTHNESS = 3.0
# Weight of the parts that both sides have, beside LNCC's 1 (docs/lab/parts.md).
DEFAULT_PARTS_WEIGHT = 0.5

__all__ = [
    "DEFAULT_PARTS_WEIGHT",
    "DEFAULT_SMOOTHNESS",
    "DEFAULT_STEPS",
    "FULL_STEPS",
    "Refined",
    "Subject",
    "check_parts_weight",
    "check_smoothness",
    "check_steps",
    "refine",
]

_LAZY = {"Refined": "result", "Subject": "objective", "refine": "optimise"}


def check_steps(steps: Any) -> None:
    """Raise InputError unless `steps` is a whole number of steps, 0 or more."""
    if not isinstance(steps, numbers.Integral) or steps < 0:
        raise InputError(f"refine {steps}: must be a whole number of steps, and not negative")


def check_smoothness(smoothness: float) -> None:
    """Raise InputError unless `smoothness` is a finite number, 0 or more."""
    if not (math.isfinite(smoothness) and smoothness >= 0):
        raise InputError(f"smoothness {smoothness:g}: must be a number and not negative")


def check_parts_weight(weight: float) -> None:
    """Raise InputError unless the weight of the parts is a finite number, 0 or more."""
    if not (math.isfinite(weight) and weight >= 0):
        raise InputError(f"parts_weight {weight:g}: must be a number and not negative")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"acsgreg_tf.registration.refine.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'acsgreg_tf.registration.refine' has no attribute {name!r}")
