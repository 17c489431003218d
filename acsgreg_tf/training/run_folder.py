"""The files of one training run, from which it resumes at the step where it stopped."""

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import READ_FAULTS, atomic_path, remove_unfinished, write_json
from acsgreg_tf.io.work_folder import changed_entries
from acsgreg_tf.training.model import STAGES
from acsgreg_tf.training.recipe import Recipe

STATE = "state.json"
# What a run writes: the networks, the logs and the state.
# As a message names it.
_DATA = "set of vertebrae (data or split)"
_WRITTEN = ("best.h5", "last.h5", "log-*.csv", "tensorboard", STATE, "state-*.weights.h5")


@dataclass
class Position:
    """Where a run is.

    Attributes:
        stage: "affine" or "joint".
        step: Steps done in the stage.
        best: Least monitored loss so far.
        means: Within an epoch, the values of the model's metrics: sums over the epoch's steps so far, and their
            number. Empty between epochs.
    """

    stage: str = "joint"
    step: int = 0
    best: float = float("inf")
    means: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.stage not in STAGES or not isinstance(self.step, int) or self.step < 0:
            raise ValueError(f"there is no step {self.step} of a stage {self.stage}")
        self.best, self.means = float(self.best), [float(value) for value in self.means]


@dataclass(frozen=True)
class SavedState:
    """What a run resumes from.

    Attributes:
        position: Where it stopped.
        weights: Path of the weights of the training model and its optimiser.
        recipe: The Recipe as a dict, with the network's precision.
    """

    position: Position
    weights: Path
    recipe: dict[str, Any]


class RunFolder:
    """The folder of one run: logs, the best and the last network, and the state from which it resumes.

    Args:
        path: Made if missing; its parent must exist.

    Raises:
        InputError: It cannot be made or written.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(exist_ok=True)
            if not os.access(self.path, os.W_OK):
                raise PermissionError
        except OSError as error:
            raise InputError(f"{path}: the model folder cannot be made or written ({type(error).__name__})") from error

    def clear(self) -> None:
        """Remove what a killed run left half written."""
        remove_unfinished(self.path)

    def is_used(self) -> bool:
        """Whether a run has written here."""
        return bool(self._written())

    def empty(self) -> None:
        """Remove what a run writes, and nothing else."""
        for path in self._written():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _written(self) -> list[Path]:
        return [path for pattern in _WRITTEN for path in self.path.glob(pattern)]

    def save_state(self, model: keras.Model, position: Position, recipe: Recipe, data: str = "") -> None:
        """Write weights and optimiser, then the note that names them, so that a kill between the two is harmless.

        Args:
            model: The training model.
            position: Where the run is.
            recipe: Saved with it.
            data: Digest of the vertebrae, saved with it.
        """
        weights = f"state-{position.stage}-{position.step:07d}.weights.h5"
        with atomic_path(self.path / weights) as partial:
            model.save_weights(partial)
        state = {**asdict(position), "weights": weights, "recipe": _identity(recipe, model, data)}
        write_json(self.path / STATE, state)
        for old in self.path.glob("state-*.weights.h5"):
            if old.name != weights:
                old.unlink()

    def read_state(self) -> SavedState | None:
        """The saved state, or None where nothing was saved.

        Raises:
            InputError: The state is damaged.
        """
        note = self.path / STATE
        if not note.exists():
            return None
        try:
            state = json.loads(note.read_text(encoding="utf-8"))
            weights, recipe = self.path / state.pop("weights"), dict(state.pop("recipe"))
            position = Position(**state)
        except (*READ_FAULTS, AttributeError, RecursionError) as error:
            raise InputError(f"{note}: a damaged training state; start again without --resume") from error
        if not weights.is_file():
            raise InputError(f"{note}: its weights file {weights.name} is missing; start again without --resume")
        return SavedState(position, weights, recipe)

    def state_to_resume(self, network: keras.Model, recipe: Recipe, data: str = "") -> SavedState:
        """The saved state, checked against what goes on from it; more `epochs` are allowed.

        Args:
            network: The network.
            recipe: Its recipe.
            data: Digest of the vertebrae.

        Raises:
            InputError: Nothing was saved, or with another recipe or precision.
        """
        state = self.read_state()
        if state is None:
            raise InputError(f"{self.path}: nothing to resume")
        # What the state of an older version means.
        older = {**asdict(Recipe()), "precision": "float32", _DATA: data}
        changed = [
            name for name in changed_entries(state.recipe, _identity(recipe, network, data), older) if name != "epochs"
        ]
        if changed:
            raise InputError(
                f"{self.path}: was trained with another {', '.join(changed)}; a resumed run keeps its recipe"
            )
        return state


def _identity(recipe: Recipe, model: keras.Model, data: str) -> dict[str, Any]:
    """What a resumed run must share with the stopped one."""
    return {**asdict(recipe), "precision": model.dtype_policy.name, _DATA: data}
