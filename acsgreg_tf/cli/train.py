"""Train ACSGRegNet or AVoxelMorph on ordered pairs of cropped vertebrae, with the options of voxelmorph's train.py."""

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

from acsgreg_tf.cli import training_data, training_display, voxelmorph_flags
from acsgreg_tf.cli.common import Parser, add_gpu, add_xla, run, start_backend
from acsgreg_tf.cli.signals import sigterm_as_interrupt
from acsgreg_tf.errors import InputError

NETWORKS = {"acsgregnet": "ACSGRegNet", "avoxelmorph": "AVoxelMorph"}
# Which of them an argument of their constructors belongs to.
READINGS = {
    "affine_normalization": ("acsgregnet",),
    "slope": tuple(NETWORKS),
    "dropout": ("acsgregnet",),
    "mlp_width": ("acsgregnet",),
    "softmax_scale": ("acsgregnet",),
    "gate": ("acsgregnet",),
    "field": ("avoxelmorph",),
    "decoder": ("avoxelmorph",),
}

_EXAMPLES = """a minute, to see that it runs: made-up vertebrae, a tiny network
  acsgreg train --generate 6 --spacing 2 --size tiny --epochs 1 --steps-per-epoch 2 --batch-size 1 --window 5 \\
      --model-dir run
the paper's recipe on a prepared cohort
  acsgreg train --manifest cohort/manifest.csv --split cohort/split-person.json --model-dir run
voxelmorph's lists, from a network that is trained already
  acsgreg train --img-list images.txt --seg-list labels.txt --group-list levels.txt --load-weights run/best.h5 \\
      --lr 1e-4 --epochs 5 --batch-size 1 --model-dir tuned
a run that was stopped
  acsgreg train --manifest cohort/manifest.csv --split cohort/split-person.json --model-dir run --resume
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 for a fault in the input, 130 after Ctrl-C)."""
    return run(_train, parser(), arguments)


def parser() -> Parser:
    """The parser of all options."""
    p = Parser("train", __doc__, _EXAMPLES)
    training_data.add_options(p)
    _add_network(p.add_argument_group("network"))
    _add_readings(p.add_argument_group("readings of the paper (docs/reference/reading.md; default: those of --size)"))
    out = p.add_argument_group("training")
    out.add_argument(
        "--model-dir", default="models/run", metavar="DIR", help="where networks and logs go (default: %(default)s)"
    )
    _add_steps(out)
    _add_loss(out)
    out.add_argument(
        "--mixed-precision",
        choices=("float16", "bfloat16"),
        help="convolutions and attention in half precision (for GPUs); fields, warps, losses and weights stay float32",
    )
    out.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    again = out.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on where the run in --model-dir stopped")
    again.add_argument("--overwrite", action="store_true", help="replace the run in --model-dir")
    out.add_argument(
        "--save-every", type=int, default=100, metavar="STEPS", help="steps between saved states (default: %(default)s)"
    )
    out.add_argument("--no-tensorboard", action="store_true", help="write the CSV log only")
    add_gpu(out)
    add_xla(out)
    voxelmorph_flags.add(p, "train")
    return p


def _add_network(group: Any) -> None:
    group.add_argument("--model", choices=NETWORKS, default="acsgregnet", help="default: %(default)s")
    group.add_argument(
        "--size",
        choices=("paper", "deep", "compact", "tiny"),
        default="paper",
        help="deep: the paper's transformers on compact's convolutions (default: %(default)s)",
    )
    group.add_argument("--int-steps", type=int, help="squarings of the integration (default: 7)")
    group.add_argument("--int-downsize", type=int, choices=(1, 2), help="velocity at 1/this resolution (default: 2)")
    group.add_argument("--normalization", choices=("batch", "instance", "none"), help="default: that of --size")
    group.add_argument(
        "--enc",
        type=int,
        nargs="+",
        metavar="N",
        help="channels of the deformable stage's encoder, one a stride-2 step (default: those of --size)",
    )
    group.add_argument(
        "--dec", type=int, nargs="+", metavar="N", help="channels of its decoder (default: those of --size)"
    )
    start = group.add_mutually_exclusive_group()
    start.add_argument(
        "--grow",
        metavar="H5",
        help="start a new network from a smaller trained one, such as --size deep from compact (docs/guide/train.md)",
    )
    start.add_argument(
        "--load-weights", metavar="H5", help="start from a saved network (its own architecture; --size is not used)"
    )


def _add_readings(group: Any) -> None:
    group.add_argument(
        "--affine-normalization", choices=("batch", "instance", "none"), help="of AffineNet alone (as --normalization)"
    )
    group.add_argument("--slope", type=float, help="of LeakyReLU in every ConvBlock for negative values (0.2)")
    group.add_argument("--dropout", type=float, help="in the branches of the transformers (0; ViT-V-Net: 0.1)")
    group.add_argument(
        "--mlp-width", type=int, metavar="N", help="of the transformers' perceptrons (4 k = 1008; ViT-V-Net: 3072)"
    )
    group.add_argument(
        "--softmax-scale",
        choices=("head", "width"),
        help="attention scores are divided by the root of a head's width, or of k as Eq. 2 is printed (head)",
    )
    group.add_argument("--gate", choices=("sigmoid", "softmax", "none"), help="of the gated fusion (sigmoid)")
    group.add_argument(
        "--field",
        choices=("velocity", "displacement"),
        help="what AVoxelMorph's U-Net returns: a velocity to integrate, or the displacement itself (velocity)",
    )
    group.add_argument(
        "--decoder",
        choices=("full", "half"),
        help="of AVoxelMorph: to full resolution as voxelmorph's, or to that of the velocity (full)",
    )


def _add_steps(group: Any) -> None:
    group.add_argument("--epochs", type=int, default=60, help="default: %(default)s")
    group.add_argument("--steps-per-epoch", type=int, help="default: as many as take every ordered pair once")
    group.add_argument("--batch-size", type=int, default=8, help="pairs a step (default: %(default)s)")
    group.add_argument(
        "--accumulate",
        type=int,
        default=1,
        metavar="N",
        help="average the gradients of N steps to one update: --batch-size 1 --accumulate 8 is a batch of 8 in the "
        "memory of one (default: %(default)s)",
    )
    group.add_argument("--lr", type=float, default=1e-5, help="Adam's learning rate (default: %(default)s)")
    group.add_argument(
        "--lr-schedule",
        dest="schedule",
        choices=("constant", "cosine"),
        default="constant",
        help="default: %(default)s",
    )
    group.add_argument(
        "--warmup-steps", type=int, default=0, help="updates over which the rate rises from 0 (default: %(default)s)"
    )
    group.add_argument("--clip-norm", type=float, help="cut gradients to this global norm (default: no)")
    group.add_argument("--initial-epoch", type=int, default=0, help="count epochs from here (default: %(default)s)")
    group.add_argument(
        "--affine-epochs", type=int, default=0, help="train the affine stage alone first (default: %(default)s)"
    )
    group.add_argument("--affine-lr", type=float, default=1e-3, help="its learning rate (default: %(default)s)")


def _add_loss(group: Any) -> None:
    group.add_argument(
        "--warp-once",
        action="store_true",
        help="sample the moving image once, through both stages (the paper warps twice)",
    )
    group.add_argument("--image-loss", choices=("lncc", "ncc", "mse"), default="lncc", help="default: %(default)s")
    group.add_argument("--window", type=int, default=9, help="side of LNCC's window (default: %(default)s)")
    group.add_argument(
        "--label-loss",
        choices=("dice", "distance"),
        default="dice",
        help="of the two label terms: overlap, or distance between the surfaces (default: %(default)s)",
    )
    group.add_argument(
        "--parts-weight",
        type=float,
        default=1.0,
        metavar="W",
        help="where the vertebrae have maps of parts: weight of the mean of Eq. 8 over parts beside the whole label in "
        "L_d_seg (default: %(default)s); 0 leaves them out",
    )
    weights = group.add_mutually_exclusive_group()
    weights.add_argument(
        "--lambda",
        dest="smooth",
        type=float,
        metavar="L",
        help="L_smooth alone, the other weights as the paper's (voxelmorph's flag)",
    )
    weights.add_argument(
        "--lambdas",
        type=float,
        nargs=5,
        default=(0.3, 0.7, 0.001, 0.01, 0.1),
        metavar="L",
        help="weights of L_a, L_d, L_smooth, L_a_seg, L_d_seg (default: the paper's, 0.3 0.7 0.001 0.01 0.1)",
    )


def _readings(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of the network's constructor that the readings on the command line are.

    Raises:
        InputError: One does not go with the network.
    """
    for name in ("normalization", "int_steps", "int_downsize"):
        if options.load_weights and getattr(options, name) is not None:
            flag = f"--{name.replace('_', '-')}"
            raise InputError(f"{flag}: a saved network (--load-weights) has an architecture of its own")
    for flag in ("enc", "dec"):
        values = getattr(options, flag) or [1]
        if options.load_weights and getattr(options, flag):
            raise InputError(f"--{flag}: a saved network (--load-weights) has an architecture of its own")
        if min(values) < 1:
            raise InputError(f"--{flag} {min(values)}: must be at least 1 channel")
    chosen = {name: getattr(options, name) for name in READINGS if getattr(options, name) is not None}
    for name in chosen:
        flag = f"--{name.replace('_', '-')}"
        if options.load_weights:
            raise InputError(f"{flag}: a saved network (--load-weights) has an architecture of its own")
        if options.model not in READINGS[name]:
            raise InputError(f"{flag}: goes with --model {READINGS[name][0]}")
    return chosen


def _train(options: argparse.Namespace) -> None:
    _readings(options)
    start_backend(options.gpu, xla=not options.no_xla)
    from acsgreg_tf.ops import distribution

    # Before anything else is imported: TensorFlow wants the other processes named before its first operation.
    with distribution.devices(several="," in (options.gpu or "")):
        from acsgreg_tf.training.precision import precision

        with precision(f"mixed_{options.mixed_precision}") if options.mixed_precision else nullcontext():
            _train_network(options)


def _train_network(options: argparse.Namespace) -> None:
    import keras

    from acsgreg_tf import training
    from acsgreg_tf.ops import distribution

    chosen = {field.name: getattr(options, field.name) for field in fields(training.Recipe)}
    lambdas = list(options.lambdas)
    if options.smooth is not None:
        lambdas[2] = options.smooth
    recipe = training.Recipe(**chosen | {"lambdas": tuple(lambdas)})
    keras.utils.set_random_seed(options.seed)
    vertebrae, held_out = training_data.load(options)
    network = _network(options, vertebrae.inshape)
    pairs = len(vertebrae.pairs())
    print(f"{network.name}: {network.count_params():,} parameters; {len(vertebrae)} vertebrae, {pairs} ordered pairs")
    settings = training.RunOptions(
        save_every=options.save_every,
        tensorboard=not options.no_tensorboard,
        verbose=training_display.verbosity() if distribution.is_chief() else 0,
        callbacks=[training_display.first_step()],
    )
    try:
        with sigterm_as_interrupt():
            training.train(
                network,
                vertebrae,
                recipe,
                options.model_dir,
                held_out,
                resume=options.resume,
                overwrite=options.overwrite,
                options=settings,
            )
    except KeyboardInterrupt:
        saved = (
            "the state is" if distribution.processes() == 1 else f"a state of the last {options.save_every} steps is"
        )
        print(f"\n{options.model_dir}: {saved} saved, --resume goes on from it")
        raise
    finally:
        vertebrae.close()
    print(f"done: {Path(options.model_dir) / 'best.h5'}")


def _network(options: argparse.Namespace, inshape: tuple[int, ...]) -> Any:
    """The network of --load-weights, or a new one for images of `inshape`."""
    from acsgreg_tf import networks
    from acsgreg_tf.ops.backend import gpu_count, is_tensorflow

    if options.load_weights:
        network = networks.load(options.load_weights)
        if network.inshape != inshape:
            raise InputError(f"{options.load_weights}: is for shape {network.inshape}, the images have {inshape}")
        return network
    name = NETWORKS[options.model]
    if options.mixed_precision == "float16" and name == "AVoxelMorph" and is_tensorflow() and not gpu_count():
        raise InputError("--mixed-precision float16: TensorFlow pools in it on a GPU alone; bfloat16 goes everywhere")
    if options.size not in networks.SIZES[name]:
        raise InputError(f"--size {options.size}: {options.model} has {', '.join(networks.SIZES[name])}")
    arguments: dict[str, Any] = dict(networks.SIZES[name][options.size])
    if options.normalization:
        arguments["normalization"] = options.normalization
    for integration in ("int_steps", "int_downsize"):
        if getattr(options, integration) is not None:
            arguments[integration] = getattr(options, integration)
    arguments |= _readings(options)
    features = {"encoder_features": options.enc, "decoder_features": options.dec}
    arguments |= {part: tuple(values) for part, values in features.items() if values}
    try:
        network = getattr(networks, name)(inshape=inshape, **arguments)
    except ValueError as error:
        if str(error).split()[0] in (*READINGS, "int_steps", "int_downsize"):
            raise InputError(f"--{str(error).replace('_', '-', 1)}") from error
        if options.dec and "decoder" in str(error):
            raise InputError(f"--dec: {error}") from error
        raise InputError(f"{options.img_list or options.manifest or '--spacing'}: {error}") from error
    if options.grow:
        _grow(options.grow, network)
    return network


def _grow(path: str, network: Any) -> None:
    """Start a new network from the one in a file, and say what came of it."""
    from acsgreg_tf import networks

    try:
        growth = networks.grow(networks.load(path), network)
    except InputError as error:
        raise InputError(f"--grow {path}: {error}") from error
    begun = f"; begin anew: {', '.join(growth.begun)}" if growth.begun else ""
    print(f"grown from {path}: {'computes the same' if growth.exact else 'the affine is the same'}{begun}")
