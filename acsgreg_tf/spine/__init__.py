"""A whole spine at once: one smooth invertible transform that is each vertebra's own on its bone, and their poses.

levels -> blend (steps, trend, rigid) -> moved scan, motions, measures; `run.register_spine` is the whole way.
"""

from acsgreg_tf.spine.blending import Blend, blend
from acsgreg_tf.spine.bones import Bone
from acsgreg_tf.spine.level import LevelResult
from acsgreg_tf.spine.poses import Motion, motions, write_poses
from acsgreg_tf.spine.run import STEPS, SpineResult, register_spine
from acsgreg_tf.spine.volume_change import log_jacobian, volume_changes

__all__ = [
    "STEPS",
    "Blend",
    "Bone",
    "LevelResult",
    "Motion",
    "SpineResult",
    "blend",
    "log_jacobian",
    "motions",
    "register_spine",
    "volume_changes",
    "write_poses",
]
