"""How to train: one frozen set of numbers, checked when it is made."""

from dataclasses import dataclass

from acsgreg_tf.errors import InputError
from acsgreg_tf.losses import IMAGE_LOSSES, LABEL_LOSSES, PAPER_LAMBDAS


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults are the paper's (section 3.2), except what it does not say.

    Args:
        epochs, batch_size, lr: of the joint stage.
        steps_per_epoch: None takes every ordered pair once an epoch.
        lambdas: the five weights of Eq. 9: L_a, L_d, L_smooth, L_a_seg, L_d_seg.
        image_loss: "lncc" (alias "ncc") or "mse".
        window: side of LNCC's window.
        label_loss: "dice" (the paper), or "distance": of the surfaces, from signed distances in place of the masks.
        affine_epochs: epochs in which AffineNet is trained alone first, with `affine_lr`; 0 is the paper's.
        schedule: "constant", or "cosine" (to zero at the last step).
        warmup_steps: steps over which the learning rate rises from 0.
        clip_norm: global norm to which gradients are cut; None leaves them.
        flip: mirror pairs left-right at random.
        warp_once: compare the moving image sampled once through phi and the affine, as `register` samples it, in place of
            the paper's m_a warped again: sharper, and twice as fast a warp.
        initial_epoch: where the count of joint epochs begins (voxelmorph's habit after --load-weights).
        seed: of weights and of the order of pairs.
        augment: change every vertebra at random each time it is used (`data.augment.Augment`).
    """

    epochs: int = 60
    batch_size: int = 8
    lr: float = 1e-5
    steps_per_epoch: int | None = None
    lambdas: tuple = PAPER_LAMBDAS
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

    def __post_init__(self):
        checks = {
            "epochs": self.epochs >= 1,
            "batch_size": self.batch_size >= 1,
            "lr": self.lr > 0,
            "affine_lr": self.affine_lr > 0,
            "steps_per_epoch": self.steps_per_epoch is None or self.steps_per_epoch >= 1,
            "affine_epochs": self.affine_epochs >= 0,
            "initial_epoch": 0 <= self.initial_epoch < self.epochs,
            "warmup_steps": self.warmup_steps >= 0,
            "clip_norm": self.clip_norm is None or self.clip_norm > 0,
            "window": self.window >= 3 and self.window % 2 == 1,
            "lambdas": len(self.lambdas) == 5 and all(weight >= 0 for weight in self.lambdas),
            "image_loss": self.image_loss in IMAGE_LOSSES,
            "label_loss": self.label_loss in LABEL_LOSSES,
            "schedule": self.schedule in ("constant", "cosine"),
        }
        for name, good in checks.items():
            if not good:
                raise InputError(f"{name}: {getattr(self, name)!r} is not a value that training can use")
