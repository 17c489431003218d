"""Registration of one pair: two files or images in, a `Result` out.

Keras is imported when a network is needed, not before.
"""

from acsgreg_tf.registration.models import NO_MODEL, default_model, load_model
from acsgreg_tf.registration.pipeline import STAGES, STEPS, Result, register, run_network

__all__ = ["NO_MODEL", "STAGES", "STEPS", "Result", "default_model", "load_model", "register", "run_network"]
