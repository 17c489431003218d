"""The network with its losses (Eq. 9), compiled for `fit`."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from acsgreg_tf.cohort.dataset import VertebraDataset
from acsgreg_tf.errors import InputError
from acsgreg_tf.layers import JointTransformer, SpatialTransformer
from acsgreg_tf.losses import IMAGE_LOSSES, LABEL_LOSSES, Diffusion, SoftDice
from acsgreg_tf.networks.base import ByName
from acsgreg_tf.ops import PACKAGE, distribution
from acsgreg_tf.ops.backend import jit_compile
from acsgreg_tf.training.parts import OUTPUT as PARTS_OUTPUT
from acsgreg_tf.training.recipe import Recipe

STAGES = ("affine", "joint")


class _TrainingModel(ByName):
    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Build nothing: `compile_for` has, and Keras 3.15 fails at it where several processes train."""

    def train_step(self, *arguments: Any, **options: Any) -> Any:
        """As Keras's."""
        return distribution.logs_of_processes(super().train_step(*arguments, **options))

    def test_step(self, *arguments: Any, **options: Any) -> Any:
        """As Keras's."""
        return distribution.logs_of_processes(super().test_step(*arguments, **options))


def training_model(
    network: Any, labels: bool, stage: str = "joint", warp_once: bool = False, parts: int = 0
) -> keras.Model:
    """The network with the outputs that its losses need; weights are shared.

    Args:
        network: ACSGRegNet or AVoxelMorph.
        labels: Whether there is an input `moving_seg` [B, X, Y, Z, 1] too, warped to m_a_seg and m_d_seg.
        stage: "joint" has the outputs m_a, m_d, phi [, m_a_seg, m_d_seg]; "affine" stops after AffineNet:
            m_a [, m_a_seg].
        warp_once: Sample m_d, m_d_seg and m_d_parts once from the moving volumes, through phi and the affine.
        parts: With the joint stage: channels P of an input `moving_parts` [B, X, Y, Z, P], warped to m_d_parts; 0 for
            none.

    Returns:
        A functional model from {"fixed", "moving"[, "moving_seg", "moving_parts"]} to the outputs by name.
    """
    inputs = dict(network.input)
    if stage == "affine":
        affine = network.affine_net(inputs)
        m_a = SpatialTransformer(constant_image=True, name="m_a", dtype="float32")([inputs["moving"], affine])
        outputs = {"m_a": m_a}
    else:
        of_network = network.output
        affine = of_network["affine"]
        outputs = {name: of_network[name] for name in ("m_a", "m_d", "phi")}
    if labels:
        inputs["moving_seg"] = keras.Input((*network.inshape, 1), name="moving_seg")
        moved = SpatialTransformer(constant_image=True, name="m_a_seg", dtype="float32")([inputs["moving_seg"], affine])
        outputs["m_a_seg"] = moved
        if stage != "affine" and not warp_once:
            outputs["m_d_seg"] = SpatialTransformer(name="m_d_seg", dtype="float32")([moved, outputs["phi"]])
    if parts and stage != "affine":
        inputs["moving_parts"] = keras.Input((*network.inshape, parts), name="moving_parts")
        if not warp_once:
            warp = SpatialTransformer(constant_image=True, name="m_a_parts", dtype="float32")
            moved = warp([inputs["moving_parts"], affine])
            outputs[PARTS_OUTPUT] = SpatialTransformer(name=PARTS_OUTPUT, dtype="float32")([moved, outputs["phi"]])
    if stage != "affine" and warp_once:
        for name, source in (("m_d", "moving"), ("m_d_seg", "moving_seg"), (PARTS_OUTPUT, "moving_parts")):
            if source in inputs:
                outputs[name] = JointTransformer(name=name)([inputs[source], affine, outputs["phi"]])
    # Losses go by the keys of the outputs.
    return _TrainingModel(inputs=inputs, outputs=outputs, name=f"{stage}_training")


def check_vertebrae(network: Any, vertebrae: VertebraDataset, validation: VertebraDataset | None) -> None:
    """Raise InputError unless vertebrae go with a network, and with those that are held out.

    Args:
        network: With its `inshape`.
        vertebrae: To train on.
        validation: Held out, or None.
    """
    for data in (vertebrae, validation):
        if data is not None and tuple(data.inshape) != tuple(network.inshape):
            raise InputError(f"the vertebrae have shape {tuple(data.inshape)}, the network {tuple(network.inshape)}")
    if validation is not None and validation.has_labels != vertebrae.has_labels:
        raise InputError("validation: must have labels where the training vertebrae have them, and only there")


def losses_of(recipe: Recipe, names: Sequence[str]) -> tuple[dict[str, Any], dict[str, float]]:
    """Loss and weight of each output (Eq. 9); a term of weight 0 has no loss, and costs nothing.

    Raises:
        InputError: All outputs have weight 0.
    """
    l_a, l_d, l_smooth, l_a_seg, l_d_seg = recipe.lambdas
    kind = IMAGE_LOSSES[recipe.image_loss]
    options = {} if recipe.image_loss == "mse" else {"window": recipe.window}
    terms = {
        "m_a": (kind(**options), l_a),
        "m_d": (kind(**options), l_d),
        "phi": (Diffusion(), l_smooth),
        "m_a_seg": (LABEL_LOSSES[recipe.label_loss](), l_a_seg),
        "m_d_seg": (LABEL_LOSSES[recipe.label_loss](), l_d_seg),
        PARTS_OUTPUT: (SoftDice(), l_d_seg * recipe.parts_weight),
    }
    if not any(terms[name][1] for name in names):
        raise InputError(f"lambdas: {recipe.lambdas} leave no loss for the outputs {', '.join(names)}")
    losses = {name: terms[name][0] if terms[name][1] else None for name in names}
    return losses, {name: terms[name][1] for name in names}


@keras.saving.register_keras_serializable(PACKAGE)
class PerUpdate(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule by updates for an optimiser that accumulates gradients: Keras's counts steps.

    Args:
        schedule: Learning rate by update.
        steps: Steps whose gradients make an update.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, steps: int) -> None:
        super().__init__()
        self.schedule, self.steps = schedule, steps

    def __call__(self, step: Any) -> Any:
        """The learning rate at a step."""
        return self.schedule(keras.ops.cast(step, "int64") // self.steps)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"schedule": keras.saving.serialize_keras_object(self.schedule), "steps": self.steps}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "PerUpdate":
        """A schedule from `get_config`."""
        return cls(keras.saving.deserialize_keras_object(config["schedule"], custom_objects), config["steps"])


def learning_rate(recipe: Recipe, peak: float, total: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate by update: linear warm-up from peak / warmup_steps, then constant, or a cosine to 0 at `total`.

    Update `warmup_steps` - 1 is the first one at `peak`.
    """
    rising = max(recipe.warmup_steps - 1, 0)
    warmup = {"warmup_target": peak, "warmup_steps": rising} if rising else {}
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=peak / recipe.warmup_steps if rising else peak,
        decay_steps=max(total - rising, 1),
        alpha=0.0 if recipe.schedule == "cosine" else 1.0,
        **warmup,
    )


def compile_for(model: keras.Model, recipe: Recipe, rate: float, total: int) -> None:
    """Compile a training model for `total` steps at the learning rate `rate`."""
    losses, weights = losses_of(recipe, model.output_names)
    schedule = learning_rate(recipe, rate, max(total // recipe.accumulate, 1))
    optimizer = distribution.adam(
        learning_rate=PerUpdate(schedule, recipe.accumulate) if recipe.accumulate > 1 else schedule,
        global_clipnorm=recipe.clip_norm,
        gradient_accumulation_steps=recipe.accumulate if recipe.accumulate > 1 else None,
    )
    model.compile(optimizer=optimizer, loss=losses, loss_weights=weights, jit_compile=jit_compile())
    # Variables of the optimiser and of the losses' means are made here: made in the first step, it is traced twice.
    model.optimizer.build(model.trainable_variables)  # compile wraps it to scale a float16 network's loss
    zeros = {name: np.zeros((1, 3, 3, 3, 3 if name == "phi" else 1), "float32") for name in model.output_names}
    distribution.on_each(lambda: model.compute_loss(y=zeros, y_pred=zeros))
    model.reset_metrics()
