"""What train.py shows while it trains."""

import sys
from typing import Any

from acsgreg_tf.cli import terminal


def verbosity() -> int:
    """Keras's `verbose`: nothing with -q, a bar on a terminal, else a line an epoch."""
    if terminal.is_quiet():
        return 0
    return 1 if sys.stdout.isatty() else 2


def first_step() -> Any:
    """A Keras callback that says why the first step of a stage takes so long."""
    import keras

    class FirstStep(keras.callbacks.Callback):
        compiled: Any = None

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if self.compiled is not self.model:  # each stage trains a model of its own
                self.compiled = self.model
                print("compiling the first step; this takes up to a minute or two", flush=True)

    return FirstStep()
