"""Joint networks: an affine stage, a deformable stage, and the integration and warps that join them."""

import keras

from acsgreg_tf.layers import ResizeDisplacement, SpatialTransformer, VecInt
from acsgreg_tf.networks.affine import AffineNet, image_inputs
from acsgreg_tf.networks.base import Network
from acsgreg_tf.networks.deformable import DeformableNet

# More squarings than float32 has digits for.
MOST_STEPS = 20


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
        if int_steps > MOST_STEPS:
            raise ValueError(f"int_steps must be {MOST_STEPS} at most, got {int_steps}")

        # === Layers ===
        inshape = tuple(deformable_net.input[0].shape[1:-1])
        coarse = tuple(deformable_net.output.shape[1:-1]) != inshape
        # Losses go by the names of the outputs, which are those of the layers that make them.
        affine_transformer = SpatialTransformer(constant_image=True, name="m_a", dtype="float32")
        integrate = VecInt(int_steps=int_steps, name="integrate" if coarse else "phi", dtype="float32")
        resize = ResizeDisplacement(inshape, name="phi", dtype="float32") if coarse else None
        transformer = SpatialTransformer(name="m_d", dtype="float32")

        # === Functional model ===
        inputs = image_inputs(inshape)
        affine = affine_net(inputs)
        m_a = affine_transformer([inputs["moving"], affine])
        velocity = deformable_net([inputs["fixed"], m_a])
        phi = integrate(velocity)
        phi = phi if resize is None else resize(phi)
        outputs = {"m_a": m_a, "m_d": transformer([m_a, phi]), "affine": affine, "velocity": velocity, "phi": phi}
        super().__init__(inputs=inputs, outputs=outputs, name=name)

        # === Config ===
        # PyTorch takes no layer as an attribute before the model's own `__init__`.
        self.inshape = inshape
        self.affine_net, self.deformable_net = affine_net, deformable_net
        self.integrate, self.resize, self.transformer = integrate, resize, transformer

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """All layers, with those of the deformable stage one by one: the order in which model files hold weights."""
        flat: list[keras.layers.Layer] = []
        for layer in super().layers:
            if isinstance(layer, DeformableNet):
                flat += [inner for inner in layer.layers if not isinstance(inner, keras.layers.InputLayer)]
            else:
                flat.append(layer)
        return flat

    def with_study(self) -> keras.Model:
        """The same network (shared weights) with the deformable stage's `study_outputs` among its outputs."""
        stage, m_a = self.deformable_net, self.output["m_a"]
        study = keras.Model(stage.input, {"velocity": stage.output, **stage.study_outputs})
        inner = study([self.input["fixed"], m_a])
        phi = self.integrate(inner["velocity"])
        phi = phi if self.resize is None else self.resize(phi)
        outputs = {**self.output, **inner, "phi": phi, "m_d": self.transformer([m_a, phi])}
        return keras.Model(self.input, outputs, name=f"{self.name}_study")
