"""What a network is shown of a vertebra that has no CT: bone painted from its shape, alike on every vertebra."""

from dataclasses import replace

import numpy as np

from acsgreg_tf.anatomy.intensity import normalise
from acsgreg_tf.anatomy.vertebra import Vertebra
from acsgreg_tf.geometry.distance import from_crop
from acsgreg_tf.synthesis.ct import Appearance, simulate_ct

__all__ = ["painted"]

# The middle of what training shapes looked like, without noise: a dense shell about a spongy core.
_LOOK = Appearance(
    shell=(1.0, 1.0),
    shell_hu=(900.0, 900.0),
    core_hu=(120.0, 120.0),
    blur=(0.6, 0.6),
    slices=(1.0, 1.0),
    noise=(0.0, 0.0),
    label_error=0.0,
)


def painted(vertebra: Vertebra) -> Vertebra:
    """A vertebra with a painted image in place of its own; as it is where it has no surface."""
    distance = from_crop(vertebra.share)
    if distance is None:
        return vertebra
    hu, _ = simulate_ct(distance, np.random.default_rng(0), _LOOK)
    return replace(vertebra, image=normalise(hu, vertebra.share > 0.5))
