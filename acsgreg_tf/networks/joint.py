"""What ACSGRegNet and AVoxelMorph share: the affine stage before, and integration and warp after, the velocity."""

import threading

import keras

from acsgreg_tf.layers import ResizeDisplacement, SpatialTransformer, VecInt
from acsgreg_tf.networks.affine import AffineNet, image_inputs
from acsgreg_tf.networks.base import Network, check_shape, check_steps

_BUILDING = threading.Lock()


class JointNetwork(Network):
    """Affine, then deformable: fixed, moving -> A -> m_a -> velocity -> phi -> m_d.

    Inputs {"fixed", "moving"}: [B, X, Y, Z, 1]. Outputs, by name:
        m_a       [B, X, Y, Z, 1]   moving after the affine
        m_d       [B, X, Y, Z, 1]   m_a warped by phi
        affine    [B, 3, 4]         A, voxels about the grid's centre, fixed -> moving
        velocity  [B, x, y, z, 3]   stationary velocity, in voxels of its own (int_downsize times coarser) grid
        phi       [B, X, Y, Z, 3]   displacement exp(v), voxels, pull
    """

    def assemble(self, inshape, affine_features, normalization, int_steps, int_downsize, velocity_of, name):
        """Build the functional model; `velocity_of(fixed, m_a)` gives the velocity and a dict of tensors for study."""
        # The layers that make outputs bear the outputs' names, which losses go by.
        inputs = image_inputs(inshape)
        affine = AffineNet(inshape, affine_features, normalization)(inputs)
        m_a = SpatialTransformer(constant_image=True, name="m_a", dtype="float32")([inputs["moving"], affine])
        velocity, study = velocity_of(inputs["fixed"], m_a)
        coarse = int_downsize > 1
        phi = VecInt(int_steps=int_steps, name="integrate" if coarse else "phi", dtype="float32")(velocity)
        if coarse:
            phi = ResizeDisplacement(inshape, name="phi", dtype="float32")(phi)
        m_d = SpatialTransformer(name="m_d", dtype="float32")([m_a, phi])
        outputs = {"m_a": m_a, "m_d": m_d, "affine": affine, "velocity": velocity, "phi": phi}
        super().__init__(inputs=inputs, outputs=outputs, name=name)
        self.study_tensors = study

    @property
    def inshape(self):
        return tuple(self.arguments["inshape"])

    @property
    def affine_net(self):
        return self.get_layer("affine_net")

    def with_study(self):
        """The same network (shared weights) that also gives its inner tensors by name; see the subclass for which."""
        outputs = {**self.outputs_by_name, **self.study_tensors}
        return keras.Model(self.inputs_by_name, outputs, name=f"{self.name}_study")

    def velocity_after(self, inputs, affine):
        """The velocity [B, x, y, z, 3] that the network finds after another affine than AffineNet's.

        Args:
            inputs: {"fixed", "moving"}: [B, X, Y, Z, 1].
            affine: [B, 3, 4], voxels about the grid's centre.
        """
        with _BUILDING:
            # Kept, since each such model leaves nodes in the layers; beside what Keras tracks, since it is no part of a network.
            if "_after_affine" not in vars(self):
                found = self.outputs_by_name
                vars(self)["_after_affine"] = keras.Model([*self.inputs, found["affine"]], found["velocity"])
        return vars(self)["_after_affine"]([*(inputs[name] for name in self.inputs_by_name), affine], training=False)

    @property
    def inputs_by_name(self):
        return {tensor.name: tensor for tensor in self.inputs}

    @property
    def outputs_by_name(self):
        return dict(self._outputs_struct)


def check_downsize(inshape, int_downsize, affine_features, encoder_features):
    """The spatial shape, checked against the strides of AffineNet and of the encoder and the velocity's resolution."""
    check_steps("affine_features", affine_features)
    check_steps("encoder_features", encoder_features)
    levels = max(len(affine_features), len(encoder_features))
    inshape = check_shape(inshape, 2**levels, f"{levels} steps of stride 2")
    if int_downsize not in (1, 2):
        raise ValueError(f"int_downsize must be 1 (velocity at full resolution) or 2 (half), got {int_downsize}")
    return inshape
