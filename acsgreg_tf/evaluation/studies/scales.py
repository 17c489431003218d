"""How large a study is: its voxels, people, networks and training."""

from dataclasses import dataclass, field
from typing import Any

from acsgreg_tf import networks
from acsgreg_tf.errors import InputError
from acsgreg_tf.training import Recipe

PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")


@dataclass(frozen=True)
class Scale:
    """The size of a study; the defaults are the paper's.

    Args:
        spacing: Side of a voxel, mm; the 1 mm crops are averaged to it.
        people: People of a generated cohort, each with all five levels.
        test_people: How many of them are held out.
        per_sample: Pairs for each sample in studies II and III.
        networks: {network's class: arguments of its constructor}.
        recipe: Recipe of every training; its seed is the study's.
        precision: Keras's policy of every training: "float32", "mixed_float16" or "mixed_bfloat16". Tests are float32.

    Raises:
        InputError: Too few people, or an unknown precision.
    """

    spacing: int = 1
    people: int = 61
    test_people: int = 10
    per_sample: int = 10
    networks: dict[str, dict[str, Any]] = field(default_factory=lambda: {"ACSGRegNet": {}, "AVoxelMorph": {}})
    recipe: Recipe = field(default_factory=Recipe)
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError(f"precision {self.precision}: must be one of {', '.join(PRECISIONS)}")
        if self.test_people < 2:
            raise InputError(f"test people {self.test_people}: a pair needs two")
        if self.people < self.test_people + 2:
            raise InputError(f"people {self.people}: {self.test_people} are held out, and training needs two more")


# The paper's lambdas with heavier masks, which lead where steps are few.
_FEW_STEPS = (0.3, 0.7, 0.02, 0.2, 1.0)

# A minute: shows that everything runs; the networks learn next to nothing.
_SMOKE = Scale(
    spacing=4,
    people=4,
    test_people=2,
    networks={
        "ACSGRegNet": {
            "affine_features": (4, 8),
            "encoder_features": (4, 8),
            "width": 12,
            "layers": 1,
            "heads": 2,
            "normalization": "none",
            "affine_normalization": "instance",
            "int_steps": 3,
        },
        "AVoxelMorph": {
            "affine_features": (4, 8),
            "encoder_features": (4, 8),
            "decoder_features": (8, 8, 4),
            "normalization": "instance",
            "int_steps": 3,
        },
    },
    recipe=Recipe(epochs=2, batch_size=2, steps_per_epoch=2, lr=2e-3, window=3, lambdas=_FEW_STEPS),
)

# The paper's transformers on thin convolutions. Hours on a few cores, minutes on a GPU.
_CPU = Scale(
    spacing=2,
    people=24,
    test_people=6,
    networks={
        "ACSGRegNet": dict(networks.SIZES["ACSGRegNet"]["deep"]),
        "AVoxelMorph": dict(networks.SIZES["AVoxelMorph"]["compact"]),
    },
    recipe=Recipe(
        epochs=6,
        batch_size=4,
        lr=6e-4,
        schedule="cosine",
        warmup_steps=50,
        clip_norm=1.0,
        window=5,
        lambdas=_FEW_STEPS,
        affine_epochs=2,
        affine_lr=5e-4,
    ),
)

SCALES = {"smoke": _SMOKE, "cpu": _CPU, "paper": Scale()}
