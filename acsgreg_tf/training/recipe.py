"""The numbers that a training follows from, checked when they are set."""

import math
from dataclasses import dataclass

from acsgreg_tf.errors import InputError
from acsgreg_tf.losses import IMAGE_LOSSES, LABEL_LOSSES, PAPER_LAMBDAS


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are those of the paper's section 3.2 where it states them.

    Args:
        epochs: Epochs of the joint stage.
        batch_size: Pairs a step.
        accumulate: Steps whose gradients are averaged to one update of the weights; without statistics of a batch, N
            steps of one pair are one step of N pairs in the memory of one. A group that the last step leaves open
            updates nothing.
        lr: Adam's learning rate in the joint stage.
        steps_per_epoch: Steps an epoch; None takes every ordered pair once.
        lambdas: Weights of Eq. 9: L_a, L_d, L_smooth, L_a_seg, L_d_seg.
        image_loss: "lncc" (alias "ncc") or "mse".
        window: Side of LNCC's window, voxels, odd.
        parts_weight: Weight of the parts beside the whole label in L_d_seg, where the vertebrae have maps of parts:
            L_d_seg is the whole label's loss plus this times the mean of Eq. 8 over the parts; 0 leaves them out.
        label_loss: "dice" (the paper), or "distance" between the surfaces, from signed distances in place of masks.
        affine_epochs: Epochs of a first stage that trains AffineNet alone; 0 (the paper) skips it.
        affine_lr: Learning rate of that stage.
        schedule: "constant", or "cosine": to zero at the last step.
        warmup_steps: Updates of the weights over which the learning rate rises linearly to `lr`.
        clip_norm: Global norm that gradients are clipped to; None does not clip.
        flip: Mirror pairs left-right at random.
        warp_once: Compare the moving image sampled once through phi and the affine, as `register` samples it, instead
            of the paper's m_a warped again: a sharper image, and half the time of two warps.
        initial_epoch: First joint epoch, as in Keras's `fit`.
        seed: Seed of the weights and of the order of pairs.
        augment: Change every vertebra at random each time it is used (`cohort.augment.Augment`).

    Raises:
        InputError: A value that training cannot use.
    """

    epochs: int = 60
    batch_size: int = 8
    lr: float = 1e-5
    steps_per_epoch: int | None = None
    lambdas: tuple[float, ...] = PAPER_LAMBDAS
    image_loss: str = "lncc"
    window: int = 9
    label_loss: str = "dice"
    affine_epochs: int = 0
    affine_lr: float = 1e-3
    schedule: str = "constant"
    warmup_steps: int = 0
    clip_norm: float | None = None
    flip: bool = False
    warp_once: bool = False
    initial_epoch: int = 0
    seed: int = 0
    augment: bool = False
    accumulate: int = 1
    parts_weight: float = 1.0

    def __post_init__(self) -> None:
        checks = {
            "epochs": self.epochs >= 1,
            "batch_size": self.batch_size >= 1,
            "accumulate": self.accumulate >= 1,
            "lr": 0 < self.lr < math.inf,
            "affine_lr": 0 < self.affine_lr < math.inf,
            "steps_per_epoch": self.steps_per_epoch is None or self.steps_per_epoch >= 1,
            "affine_epochs": self.affine_epochs >= 0,
            "seed": 0 <= self.seed < 2**32,
            "initial_epoch": 0 <= self.initial_epoch < self.epochs,
            "warmup_steps": self.warmup_steps >= 0,
            "clip_norm": self.clip_norm is None or self.clip_norm > 0,
            "window": self.window >= 3 and self.window % 2 == 1,
            "lambdas": len(self.lambdas) == 5 and all(weight >= 0 for weight in self.lambdas),
            "parts_weight": self.parts_weight >= 0,
            "image_loss": self.image_loss in IMAGE_LOSSES,
            "label_loss": self.label_loss in LABEL_LOSSES,
            "schedule": self.schedule in ("constant", "cosine"),
        }
        for name, valid in checks.items():
            if not valid:
                raise InputError(f"{name}: {getattr(self, name)!r} is not a value that training can use")
