"""The network with its losses (Eq. 9), compiled for `fit`."""

import keras
import numpy as np
from keras import ops

from acsgreg_tf.errors import InputError
from acsgreg_tf.layers import JointTransformer, SpatialTransformer
from acsgreg_tf.losses import IMAGE_LOSSES, LABEL_LOSSES, Diffusion
from acsgreg_tf.ops.backend import jit_compile


def training_model(network, labels, stage="joint", warp_once=False):
    """The network with what its loss needs: outputs m_a, m_d, phi, and with labels m_a_seg and m_d_seg (warped moving_seg).

    Without labels the two Dice terms are absent. Stage "affine" stops after AffineNet: m_a [, m_a_seg]. With `warp_once`
    m_d and m_d_seg are the moving image and label sampled once, in one go.
    """
    inputs = dict(network.input)
    if stage == "affine":
        affine = network.affine_net(inputs)
        m_a = SpatialTransformer(constant_image=True, name="m_a", dtype="float32")([inputs["moving"], affine])
        outputs = {"m_a": m_a}
    else:
        found = network.output
        affine = found["affine"]
        outputs = {name: found[name] for name in ("m_a", "m_d", "phi")}
    if labels:
        inputs["moving_seg"] = keras.Input((*network.inshape, 1), name="moving_seg")
        moved = SpatialTransformer(constant_image=True, name="m_a_seg", dtype="float32")([inputs["moving_seg"], affine])
        outputs["m_a_seg"] = moved
        if stage != "affine" and not warp_once:
            outputs["m_d_seg"] = SpatialTransformer(name="m_d_seg", dtype="float32")([moved, outputs["phi"]])
    if stage != "affine" and warp_once:
        for name, given in (("m_d", "moving"), ("m_d_seg", "moving_seg")):
            if given in inputs:
                outputs[name] = JointTransformer(name=name)([inputs[given], affine, outputs["phi"]])
    # An output of a functional model goes by its key here, and its loss by the same name.
    return keras.Model(inputs=inputs, outputs=outputs, name=f"{stage}_training")


def losses_of(recipe, names):
    """Loss and weight of each named output (Eq. 9). A term of weight 0 is left out, and costs nothing."""
    l_a, l_d, l_smooth, l_a_seg, l_d_seg = recipe.lambdas
    kind = IMAGE_LOSSES[recipe.image_loss]
    image = (lambda: kind(window=recipe.window)) if recipe.image_loss != "mse" else kind
    terms = {
        "m_a": (image(), l_a),
        "m_d": (image(), l_d),
        "phi": (Diffusion(), l_smooth),
        "m_a_seg": (LABEL_LOSSES[recipe.label_loss](), l_a_seg),
        "m_d_seg": (LABEL_LOSSES[recipe.label_loss](), l_d_seg),
    }
    if not any(terms[name][1] for name in names):
        raise InputError(f"lambdas: {recipe.lambdas} leave no loss for the outputs {', '.join(names)}")
    losses = {name: terms[name][0] if terms[name][1] else None for name in names}
    return losses, {name: terms[name][1] for name in names}


@keras.saving.register_keras_serializable("acsgreg_tf")
class WarmCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate that rises linearly over `warmup` steps, then stays, or falls along a cosine to zero at `total`."""

    def __init__(self, peak, total, warmup=0, cosine=True):
        self.peak, self.total, self.warmup, self.cosine = peak, total, warmup, cosine

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rate = ops.minimum((step + 1.0) / max(self.warmup, 1), 1.0) * self.peak
        if self.cosine:
            done = ops.clip((step - self.warmup) / max(self.total - self.warmup, 1), 0.0, 1.0)
            rate = rate * 0.5 * (1.0 + ops.cos(np.pi * done))
        return rate

    def get_config(self):
        return {"peak": self.peak, "total": self.total, "warmup": self.warmup, "cosine": self.cosine}


def compile_for(model, recipe, rate, total):
    """Compile a training model for `total` steps.

    The variables of the optimiser and of the losses' means are made at once: TensorFlow traces a step that makes some twice.
    """
    losses, weights = losses_of(recipe, model.output_names)
    schedule = WarmCosine(rate, total, recipe.warmup_steps, recipe.schedule == "cosine")
    optimizer = keras.optimizers.Adam(schedule, global_clipnorm=recipe.clip_norm)
    model.compile(optimizer=optimizer, loss=losses, loss_weights=weights, jit_compile=jit_compile())
    model.optimizer.build(model.trainable_variables)  # compile wraps it to scale a float16 network's loss
    nothing = {name: np.zeros((1, 3, 3, 3, 3 if name == "phi" else 1), "float32") for name in model.output_names}
    model.compute_loss(y=nothing, y_pred=nothing)
    model.reset_metrics()
