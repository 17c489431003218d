"""The shipped network with voxelmorph's own layers (Dalca et al., Medical Image Analysis 2019) instead of ours."""

import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation.peers.base import Alignment, Peer, Side
from acsgreg_tf.geometry import Grid


@dataclass(frozen=True)
class VoxelmorphLayersPeer(Peer):
    """The shipped network's weights; warps, integration and resizing by voxelmorph 0.2's classes."""

    module: ClassVar[str] = "voxelmorph"
    package: ClassVar[str] = "voxelmorph"

    def align_on(self, grid: Grid, fixed: Side, moving: Side) -> Alignment:
        """Run the network, twice: what is built at the first call is no part of the time."""
        from acsgreg_tf.ops.backend import without_gradients
        from acsgreg_tf.registration import load_model

        network: Any = load_model()
        if grid.shape != network.inshape:
            raise InputError(f"images: shape {grid.shape}; the network of {self.name} takes {network.inshape}")
        inputs = {"fixed": fixed.image[None, ..., None], "moving": moving.image[None, ..., None]}
        call = without_gradients(voxelmorph_network(network))  # as `register` calls a network
        call(inputs, training=False)
        begun = time.perf_counter()
        outputs = call(inputs, training=False)
        affine, phi = (np.asarray(outputs[name])[0] for name in ("affine", "phi"))
        return Alignment(affine, phi, None, time.perf_counter() - begun)


def voxelmorph_network(network: Any) -> Any:
    """A JointNetwork whose SpatialTransformers, VecInt and resizing are voxelmorph's; weights are shared.

    Returns:
        A keras.Model with the outputs affine, m_a, phi and m_d.

    Raises:
        InputError: Keras does not run on TensorFlow.
    """
    import keras

    from acsgreg_tf.ops.backend import is_tensorflow

    if not is_tensorflow():
        raise InputError(f"voxelmorph-layers: runs on TensorFlow only, not on {keras.backend.backend()}")
    import voxelmorph

    layers = voxelmorph.layers
    inputs = network.input
    affine = network.affine_net(inputs)
    m_a = layers.SpatialTransformer(shift_center=True)([inputs["moving"], affine])
    velocity = network.deformable_net([inputs["fixed"], m_a])
    phi = layers.VecInt(int_steps=network.arguments["int_steps"])(velocity)
    if network.arguments["int_downsize"] > 1:
        phi = layers.RescaleTransform(network.arguments["int_downsize"])(phi)
    m_d = layers.SpatialTransformer()([m_a, phi])
    return keras.Model(inputs, {"affine": affine, "m_a": m_a, "phi": phi, "m_d": m_d})


PEERS = (VoxelmorphLayersPeer("voxelmorph-layers"),)
