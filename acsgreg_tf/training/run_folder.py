"""The files of one training run, from which it resumes."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.files import atomic_path

STATE = "state.json"


@dataclass
class Position:
    """Where a run is: the stage, and the number of steps done in it."""

    stage: str = "joint"
    step: int = 0
    best: float = float("inf")


def identity(recipe, model):
    """What a resumed run must share with the stopped one."""
    return {**asdict(recipe), "precision": model.dtype_policy.name}


class RunFolder:
    """The files of one run: logs, the best and the last network, and the state from which it resumes."""

    def __init__(self, path):
        self.path = Path(path)
        try:
            self.path.mkdir(exist_ok=True)
            if not os.access(self.path, os.W_OK):
                raise PermissionError
        except OSError as error:
            raise InputError(
                f"{path}: the model folder cannot be made or written ({error.__class__.__name__})"
            ) from error

    def save_state(self, model, position, recipe):
        """Weights with the optimiser's moments, then the note that names them: a run stopped between the two loses nothing."""
        weights = f"state-{position.stage}-{position.step:07d}.weights.h5"
        with atomic_path(self.path / weights) as partial:
            model.save_weights(partial)
        with atomic_path(self.path / STATE) as partial:
            state = {**asdict(position), "weights": weights, "recipe": identity(recipe, model)}
            Path(partial).write_text(json.dumps(state), encoding="utf-8")
        for old in self.path.glob("state-*.weights.h5"):
            if old.name != weights:
                old.unlink()

    def read_state(self):
        """(Position, path of its weights, recipe as a dict), or None where nothing was saved.

        Raises:
            InputError: the state is damaged.
        """
        note = self.path / STATE
        if not note.exists():
            return None
        try:
            state = json.loads(note.read_text(encoding="utf-8"))
            weights = self.path / state.pop("weights")
            recipe = state.pop("recipe")
            position = Position(**state)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{note}: a damaged training state; start again without --resume") from error
        if not weights.is_file():
            raise InputError(f"{note}: its weights file {weights.name} is missing; start again without --resume")
        return position, weights, recipe
