"""Registration of one pair: two files or images in, a `Result` out.

prepare -> estimate -> refine -> deformation -> finish; `pipeline.register` is the whole way. Keras is imported where it
is the engine that computes a network (`engine`), not before.
"""

from acsgreg_tf.registration.clock import STEPS
from acsgreg_tf.registration.deformation import Deformation
from acsgreg_tf.registration.engine import AUTO, ENGINES, KERAS, Engine, has_openvino, load_engine, side_by_side
from acsgreg_tf.registration.estimate import run_network
from acsgreg_tf.registration.from_surface import is_surface
from acsgreg_tf.registration.models import NO_MODEL, default_model, load_model
from acsgreg_tf.registration.options import DEFORMABLE, TRANSFORMS, Options
from acsgreg_tf.registration.pipeline import register
from acsgreg_tf.registration.prepare import Selection, select, shared_levels
from acsgreg_tf.registration.result import STAGES, Result
from acsgreg_tf.registration.scan import Scan, read_scan
from acsgreg_tf.registration.schema import SCHEMA_VERSION, metrics_schema

__all__ = [
    "AUTO",
    "DEFORMABLE",
    "ENGINES",
    "KERAS",
    "TRANSFORMS",
    "NO_MODEL",
    "SCHEMA_VERSION",
    "STAGES",
    "STEPS",
    "Deformation",
    "Engine",
    "Options",
    "Result",
    "Scan",
    "Selection",
    "default_model",
    "has_openvino",
    "load_engine",
    "is_surface",
    "load_model",
    "metrics_schema",
    "read_scan",
    "register",
    "run_network",
    "select",
    "shared_levels",
    "side_by_side",
]
