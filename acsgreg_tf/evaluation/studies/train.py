"""Training of one run of a study."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from acsgreg_tf import networks, training
from acsgreg_tf.cohort.dataset import VertebraDataset, Vertebrae
from acsgreg_tf.cohort.manifest import Sample
from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation.studies.plan import Run
from acsgreg_tf.evaluation.studies.scales import Scale
from acsgreg_tf.training.precision import precision


@dataclass(frozen=True)
class TrainingFacts:
    """Numbers about one training.

    Attributes:
        parameters: Of the network.
        pairs: Ordered pairs that it was trained on.
        steps: Joint steps.
    """

    parameters: int
    pairs: int
    steps: int


def train_run(
    run: Run,
    scale: Scale,
    samples: Sequence[Sample],
    pairs: Sequence[tuple[Sample, Sample]],
    folder: Path,
    log: Callable[[str], Any] = print,
    verbose: int = 0,
) -> TrainingFacts:
    """Train a run in `folder` unless it is trained already; a run that was stopped is resumed.

    Args:
        run: What to train.
        scale: The network's arguments and the recipe, to whose seed the run's repeat is added.
        samples: Vertebrae to train on.
        pairs: (fixed, moving) among them.
        folder: The run's own.
        log: Called with a line as training begins.
        verbose: As in `keras.Model.fit`.

    Raises:
        InputError: Crops that do not fit the network, and as `training.train`.
    """
    vertebrae: VertebraDataset = Vertebrae.from_samples(samples, pairs)
    if not run.labels:
        vertebrae = vertebrae.without_labels()
    recipe = replace(scale.recipe, seed=scale.recipe.seed + run.repeat)
    with precision(scale.precision):
        keras.utils.set_random_seed(recipe.seed)
        try:
            network = getattr(networks, run.network)(
                vertebrae.inshape, **{**scale.networks[run.network], **run.changed}
            )
        except ValueError as error:
            raise InputError(f"{samples[0].image}: {error}") from error
        steps = recipe.epochs * training.steps_per_epoch(vertebrae, recipe.batch_size, recipe.steps_per_epoch)
        facts = TrainingFacts(network.count_params(), len(pairs), steps)
        state = training.RunFolder(folder).read_state()
        if state is not None and state.position.stage == "joint" and state.position.step >= steps:
            log(f"{run.name}: trained already")
            return facts
        begun = "training"
        if state is not None:
            begun = f"training on from step {state.position.step} of the {state.position.stage} stage,"
        log(f"{run.name}: {begun} {facts.parameters:,} parameters, {len(pairs)} pairs, {steps} steps")
        options = training.RunOptions(tensorboard=False, verbose=verbose)
        # Without a state there is at most what a run left that was killed before it saved one.
        training.train(
            network, vertebrae, recipe, folder, resume=state is not None, overwrite=state is None, options=options
        )
        return facts
