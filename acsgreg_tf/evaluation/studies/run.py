"""The paper's three studies (section 3.2), and the ablations that it left out: what is trained and tested on what.

Study I trains AVoxelMorph, one model a level, on all ordered pairs of the level; study II trains one AVoxelMorph and study
III one ACSGRegNet on the same sampled pairs of all levels. All are tested on the same pairs of people held out. An ablation
is study III with one thing taken away.

Everything lies in one folder, and what is done there is not done again: `crops/` (where a scale reduces them), `runs/NAME/`
(the network, its logs, `test.csv`). `study_report` makes the paper's tables and figures of it.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import keras
import nibabel as nib
import numpy as np

from acsgreg_tf import evaluation, networks, training
from acsgreg_tf.cohort.dataset import Vertebrae, VertebraDataset
from acsgreg_tf.cohort.pairs import mixed_pairs, ordered_pairs
from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import atomic_path
from acsgreg_tf.io.images import read_image, read_label
from acsgreg_tf.training import Recipe
from acsgreg_tf.training.batches import PairBatches

__all__ = ["ABLATIONS", "SCALES", "STUDIES", "Done", "Run", "Scale", "plan", "run_studies"]

STUDIES = {"I": "AVoxelMorph, a model a level", "II": "AVoxelMorph, mixed levels", "III": "ACSGRegNet, mixed levels"}

# Study III with one thing taken away: (what the table calls it, arguments of ACSGRegNet, with labels).
ABLATIONS = {
    "sam": ("without self-attention (SAM)", {"attention": ("cross",)}, True),
    "cam": ("without cross-attention (CAM)", {"attention": ("self",)}, True),
    "gate": ("without the gate (plain sum)", {"fusion": "sum"}, True),
    "labels": ("without labels", {}, False),
}


@dataclass(frozen=True)
class Scale:
    """How large a study is.

    Args:
        spacing: side of a voxel, mm; the 1 mm crops are averaged to it.
        people: of a generated cohort, each with all five levels.
        test_people: how many of them are held out.
        per_sample: pairs for each sample in studies II and III.
        networks: {network's class: arguments of its constructor}.
        recipe: of every training.
    """

    spacing: int = 1
    people: int = 61
    test_people: int = 10
    per_sample: int = 10
    networks: dict = field(default_factory=lambda: {"ACSGRegNet": {}, "AVoxelMorph": {}})
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self):
        if self.test_people < 2:
            raise InputError(f"test people {self.test_people}: a pair needs two")
        if self.people < self.test_people + 2:
            raise InputError(f"people {self.people}: {self.test_people} are held out, and training needs two more")


_FEW_STEPS = (0.3, 0.7, 0.02, 0.2, 1.0)  # the paper's lambdas with heavier masks, which lead where steps are few
SCALES = {
    # Shows that everything runs; the networks learn next to nothing.
    "smoke": Scale(
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
    ),
    # The three studies take about an hour on two cores, the ablations another.
    "cpu": Scale(
        spacing=2,
        people=24,
        test_people=6,
        networks={name: networks.SIZES[name]["compact"] for name in ("ACSGRegNet", "AVoxelMorph")},
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
    ),
    # The paper's own numbers, for a GPU.
    "paper": Scale(),
}


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        name: of its folder.
        title: what tables call it.
        study: "I", "II", "III", or "ablation".
        network: class name.
        changed: arguments of the network that differ from the scale's.
        level: the only level that it is trained and tested on, or None for all.
        labels: whether the loss has the two Dice terms.
    """

    name: str
    title: str
    study: str
    network: str
    changed: dict = field(default_factory=dict)
    level: str | None = None
    labels: bool = True


@dataclass(frozen=True)
class Done:
    """Studies that were trained and tested.

    Attributes:
        out: their folder.
        scale: Scale.
        split: `cohort.Split` of the full crops.
        runs: the Runs, in order.
        rows: {run's name: rows} as `evaluation.evaluate` gives them.
        facts: {run's name: {"parameters", "pairs", "steps"}}.
        mixed: number of training pairs of studies II and III.
        test_pairs: (fixed, moving) Samples whose files are those that were tested.
    """

    out: Path
    scale: Scale
    split: object
    runs: tuple
    rows: dict
    facts: dict
    mixed: int
    test_pairs: tuple


def plan(levels, studies=tuple(STUDIES), ablations=()):
    """The Runs of the studies asked for, in order.

    Raises:
        InputError: an unknown study or ablation, or an ablation without study III, which it is compared with.
    """
    for kind, names, known in (("study", studies, STUDIES), ("ablation", ablations, ABLATIONS)):
        for name in names:
            if name not in known:
                raise InputError(f"{kind} {name!r}: must be one of {', '.join(known)}")
    if not studies:
        raise InputError("studies: none was asked for")
    if ablations and "III" not in studies:
        raise InputError("ablations: are compared with study III, so it has to be run too")
    runs = []
    if "I" in studies:
        runs += [Run(f"study-I-{level}", f"AVoxelMorph {level}", "I", "AVoxelMorph", level=level) for level in levels]
    if "II" in studies:
        runs.append(Run("study-II", "AVoxelMorph", "II", "AVoxelMorph"))
    if "III" in studies:
        runs.append(Run("study-III", "ACSGRegNet", "III", "ACSGRegNet"))
    for name in ablations:
        title, changed, labels = ABLATIONS[name]
        runs.append(Run(f"ablation-{name}", title, "ablation", "ACSGRegNet", changed, labels=labels))
    return runs


def run_studies(split, out, scale, studies=tuple(STUDIES), ablations=(), seed=0, processes=1, tell=print, verbose=0):
    """Train, test and write all of it; what the folder holds already is kept.

    Args:
        split: `cohort.Split` of crops on one grid of 1 mm, in [0, 1], masked.
        out: folder, made if missing.
        scale: a Scale, such as SCALES["cpu"].
        studies: of STUDIES.
        ablations: of ABLATIONS.
        seed: of weights, sampled pairs and the order of training.
        processes: that test side by side.
        tell: called with a line as each part begins.
        verbose: of training, as in keras.Model.fit.

    Returns:
        Done, which `study_report.write_report` makes tables and figures of.

    Raises:
        InputError: the folder holds studies of another kind, a split without pairs, crops that do not fit; whatever training
            and evaluation refuse.
    """
    out = Path(out)
    try:
        (out / "runs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made a folder ({error.strerror})") from error
    scale = replace(scale, recipe=replace(scale.recipe, seed=seed))
    _claim(out, scale, split)
    train, test = (_reduced(part, scale.spacing, out / "crops") for part in (split.train, split.test))
    levels = sorted({sample.level for sample in test})
    runs = plan(levels, studies, ablations)
    test_pairs = ordered_pairs(test)
    if not test_pairs:
        raise InputError("no pair to test: the split holds out no two people of one level")
    mixed = mixed_pairs(train, scale.per_sample, seed)

    rows, trained = {}, {}
    for run in runs:
        folder = out / "runs" / run.name
        pairs = mixed if run.level is None else ordered_pairs([s for s in train if s.level == run.level])
        used = train if run.level is None else [s for s in train if s.level == run.level]
        trained[run.name] = _train(run, scale, used, pairs, folder, tell, verbose)
        tested = [pair for pair in test_pairs if run.level in (None, pair[0].level)]
        method = evaluation.Crops(str(folder / "last.h5"), run.title)
        tell(f"{run.name}: testing on {len(tested)} pairs")
        found = evaluation.evaluate([method], evaluation.pair_rows(tested), folder / "test.csv", processes)
        faults = [row["fault"] for row in found if row["fault"]]
        if faults:
            raise InputError(f"{folder / 'test.csv'}: {len(faults)} pairs failed; the first: {faults[0]}")
        rows[run.name] = found
    return Done(out, scale, split, tuple(runs), rows, trained, len(mixed), tuple(test_pairs))


def _claim(out, scale, split):
    """Leave a note of what this folder's studies are; refuse to mix two kinds."""
    note = out / "studies.json"
    people = {part: sorted({(s.person, s.level) for s in getattr(split, part)}) for part in ("train", "test")}
    recipe = json.loads(json.dumps({"scale": asdict(scale), "split": people}))
    if note.exists():
        try:
            kept = json.loads(note.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{note}: cannot be read ({error.__class__.__name__})") from error
        changed = [name for name in recipe if kept.get(name) != recipe[name]]
        if changed:
            raise InputError(
                f"{note}: this folder holds studies of another {' and '.join(changed)}; choose another folder"
            )
        return
    with atomic_path(note) as partial:
        partial.write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")


# crops


def _reduced(samples, spacing, folder):
    """The Samples with crops averaged to voxels of `spacing` mm, written to `folder`; themselves at 1 mm."""
    if spacing == 1:
        return list(samples)
    folder.mkdir(exist_ok=True)
    found = []
    for sample in samples:
        paths = [folder / f"{sample.person}-{sample.level}_{kind}.nii.gz" for kind in ("ct", "seg")]
        if not all(path.exists() for path in paths):
            image, label = read_image(sample.image), read_label(sample.label)
            if image.data.shape != label.data.shape:
                raise InputError(f"{sample.label}: shape {label.data.shape} is not the image's {image.data.shape}")
            if any(side % spacing for side in image.data.shape):
                raise InputError(f"{sample.image}: shape {image.data.shape} cannot be divided by {spacing}")
            inside = block_mean(label.data > 0, spacing) > 0.5
            affine = image.grid.affine.copy()
            affine[:3, :3] *= spacing
            affine[:3, 3] = image.grid.index_to_points(np.full(3, (spacing - 1) / 2))
            for path, data in zip(
                paths, (block_mean(image.data, spacing) * inside, inside.astype(np.uint8)), strict=True
            ):
                with atomic_path(path) as partial:
                    nib.save(nib.Nifti1Image(data, affine), partial)
        found.append(replace(sample, image=str(paths[0]), label=str(paths[1])))
    return found


def block_mean(volume, factor):
    """Means over blocks of factor^3 voxels: (X, Y, Z) to (X, Y, Z) / factor, float32."""
    x, y, z = (side // factor for side in volume.shape)
    blocks = np.asarray(volume, np.float32).reshape(x, factor, y, factor, z, factor)
    return blocks.mean(axis=(1, 3, 5))


# training


def _train(run, scale, samples, pairs, folder, tell, verbose):
    """Train a run unless its folder holds it finished; returns its number of parameters, pairs and steps."""
    vertebrae: VertebraDataset = Vertebrae.from_samples(samples, pairs)
    if not run.labels:
        vertebrae = vertebrae.without_labels()  # the loss then has no Dice terms
    recipe = scale.recipe
    steps = PairBatches(vertebrae, recipe.batch_size, recipe.steps_per_epoch).steps
    keras.utils.set_random_seed(recipe.seed)
    arguments = {**scale.networks[run.network], **run.changed}
    try:
        network = getattr(networks, run.network)(vertebrae.inshape, **arguments)
    except ValueError as error:
        raise InputError(f"{samples[0].image}: {error}") from error
    facts = {"parameters": network.count_params(), "pairs": len(pairs), "steps": steps * recipe.epochs}
    state = training.RunFolder(folder).read_state()
    if state is None or state.position.stage != "joint" or state.position.step < steps * recipe.epochs:
        begun = "training" if state is None else f"training on from step {state.position.step} of the {state.position.stage} stage,"
        tell(f"{run.name}: {begun} {facts['parameters']:,} parameters, {len(pairs)} pairs, {facts['steps']} steps")
        options = training.RunOptions(tensorboard=False, verbose=verbose)
        training.train(network, vertebrae, recipe, folder, resume=state is not None, options=options)
    else:
        tell(f"{run.name}: trained already")
    return facts
