"""Joint networks: an affine stage, a deformable stage, and the integration and warps that join them."""

import keras

from acsgreg_tf.layers import ResizeDisplacement, SpatialTransformer, VecInt
from acsgreg_tf.networks.affine import AffineNet, image_inputs
from acsgreg_tf.networks.base import Network
from acsgreg_tf.networks.deformable import DeformableNet
from acsgreg_tf.ops import Tensor


class JointNetwork(Network):
    """Affine, then deformable: fixed, moving -> A -> m_a -> velocity -> phi -> m_d.

    Inputs {"fixed", "moving"}: [B, X, Y, Z, 1]. Outputs, by name:
        m_a       [B, X, Y, Z, 1]   moving after the affine
        m_d       [B, X, Y, Z, 1]   m_a warped by phi
        affine    [B, 3, 4]         A, voxels about the grid's centre, fixed -> moving
        velocity  [B, x, y, z, 3]   stationary velocity, in voxels of its own (int_downsize times coarser) grid
        phi       [B, X, Y, Z, 3]   displacement exp(v), voxels, pull

    Both stages are models of their own. To go on from another affine than AffineNet's, warp the moving image by it
    and call `deformable_net([fixed, m_a])`.

    Args:
        affine_net: {"fixed", "moving"} -> affine.
        deformable_net: [fixed, m_a] -> velocity.
        int_steps: Squarings of the integration.

    Attributes:
        inshape: Spatial shape (X, Y, Z).
    """

    affine_net: AffineNet
    deformable_net: DeformableNet

    def __init__(self, affine_net: AffineNet, deformable_net: DeformableNet, int_steps: int, name: str) -> None:
        # === Layers ===
        inshape = tuple(deformable_net.input[0].shape[1:-1])
        coarse = tuple(deformable_net.output.shape[1:-1]) != inshape
        self.affine_net = affine_net
        self.deformable_net = deformable_net
        # Losses go by the names of the outputs, which are those of the layers that make them.
        self.affine_transformer = SpatialTransformer(constant_image=True, name="m_a", dtype="float32")
        self.integrate = VecInt(int_steps=int_steps, name="integrate" if coarse else "phi", dtype="float32")
        self.resize = ResizeDisplacement(inshape, name="phi", dtype="float32") if coarse else None
        self.transformer = SpatialTransformer(name="m_d", dtype="float32")

        # === Functional model ===
        inputs = image_inputs(inshape)
        affine = affine_net(inputs)
        m_a = self.affine_transformer([inputs["moving"], affine])
        velocity = deformable_net([inputs["fixed"], m_a])
        phi, m_d = self._deform(m_a, velocity)
        outputs = {"m_a": m_a, "m_d": m_d, "affine": affine, "velocity": velocity, "phi": phi}
        super().__init__(inputs=inputs, outputs=outputs, name=name)

        # === Config ===
        self.inshape = inshape

    def _deform(self, m_a: Tensor, velocity: Tensor) -> tuple[Tensor, Tensor]:
        """The displacement phi of a velocity, and m_a warped by it."""
        phi = self.integrate(velocity)
        if self.resize is not None:
            phi = self.resize(phi)
        return phi, self.transformer([m_a, phi])

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """All layers, with those of the deformable stage one by one: the order in which model files hold weights."""
        stage = self.deformable_net
        own = [layer for layer in stage.layers if not isinstance(layer, keras.layers.InputLayer)]
        return [inner for layer in super().layers for inner in (own if layer is stage else [layer])]

    def with_study(self) -> keras.Model:
        """The same network (shared weights) with the deformable stage's `study_outputs` among its outputs."""
        stage, m_a = self.deformable_net, self.output["m_a"]
        study = keras.Model(stage.input, {"velocity": stage.output, **stage.study_outputs})
        inner = study([self.input["fixed"], m_a])
        phi, m_d = self._deform(m_a, inner["velocity"])
        return keras.Model(self.input, {**self.output, **inner, "phi": phi, "m_d": m_d}, name=f"{self.name}_study")
