"""Named sizes: constructor arguments of each network for `train.py --size`."""

from typing import Any

SIZES: dict[str, dict[str, dict[str, Any]]] = {
    "ACSGRegNet": {
        "paper": {},
        # The same structure for two cores; statistics of a batch mean little at the batches that fit there.
        "compact": {
            "affine_features": (8, 16, 32, 64, 64),
            "encoder_features": (8, 16, 32, 64),
            "width": 192,
            "layers": 4,
            "heads": 6,
            "normalization": "none",
            "affine_normalization": "instance",
        },
        # The paper's transformers on the compact convolutions.
        "deep": {
            "affine_features": (8, 16, 32, 64, 64),
            "encoder_features": (8, 16, 32, 64),
            "width": 252,
            "layers": 12,
            "heads": 12,
            "normalization": "instance",
            "affine_normalization": "instance",
        },
        # For trying things out: learns little, in seconds.
        "tiny": {
            "affine_features": (4, 4, 8, 8, 8),
            "encoder_features": (4, 8, 8, 8),
            "width": 24,
            "layers": 1,
            "heads": 2,
            "normalization": "none",
            "affine_normalization": "instance",
        },
    },
    "AVoxelMorph": {
        "paper": {},
        "compact": {
            "affine_features": (8, 16, 32, 64, 64),
            "encoder_features": (8, 16, 32, 32),
            "decoder_features": (32, 32, 32, 16, 16, 8),
            "normalization": "instance",
        },
        "tiny": {
            "affine_features": (4, 4, 8, 8, 8),
            "encoder_features": (4, 4, 8, 8),
            "decoder_features": (8, 8, 4, 4),
            "normalization": "instance",
        },
    },
}
