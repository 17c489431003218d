"""Training on several GPUs or machines with TensorFlow's strategies, and what the package asks of the one in use.

A network is made and trained within `with devices(...)`. Each replica gets its part of a batch; their gradients are
summed, so that a step is that of one device with the whole batch; statistics of a batch are of its part alone.
"""

import contextlib
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import keras

from acsgreg_tf.errors import InputError
from acsgreg_tf.ops.backend import is_tensorflow, title


def devices(several: bool = False) -> AbstractContextManager:
    """The devices that networks are made and trained on within the block; made before TensorFlow does anything else.

    Args:
        several: All GPUs that TensorFlow sees (`tf.distribute.MirroredStrategy`).

    Returns:
        With TF_CONFIG in the environment, this process's part of a `tf.distribute.MultiWorkerMirroredStrategy`; it
        waits for the others. Else, without `several`, a block that does nothing.

    Raises:
        InputError: TF_CONFIG cannot be used, or Keras does not run on TensorFlow.
    """
    workers = os.environ.get("TF_CONFIG")
    if not workers and not several:
        return contextlib.nullcontext()
    if not is_tensorflow():
        raise InputError(f"{'TF_CONFIG' if workers else '--gpu'}: several devices train with TensorFlow, not {title()}")
    import tensorflow as tf

    if not workers:
        return tf.distribute.MirroredStrategy().scope()
    try:
        settings = json.loads(workers)
        task, cluster = settings["task"], settings["cluster"]
        known = 0 <= task["index"] < len(cluster[task["type"]])
    except (ValueError, TypeError, LookupError) as error:
        raise InputError('TF_CONFIG: must be JSON with "cluster" and "task", as TensorFlow describes it') from error
    if not known:
        raise InputError(f"TF_CONFIG: task {task['index']} of {task['type']} is not in its cluster")
    return tf.distribute.MultiWorkerMirroredStrategy().scope()


def replicas() -> int:
    """Return how many devices share each batch here, in all processes."""
    strategy = _strategy()
    return 1 if strategy is None else strategy.num_replicas_in_sync


def processes() -> int:
    """Return how many processes train together here."""
    resolver = _resolver()
    return 1 if resolver is None else sum(len(tasks) for tasks in resolver.cluster_spec().as_dict().values())


def is_chief() -> bool:
    """Return whether this process is the one of them that writes files."""
    resolver = _resolver()
    if resolver is None or resolver.task_type == "chief":
        return True
    return resolver.task_id == 0 and "chief" not in resolver.cluster_spec().jobs


def on_each(function: Callable[[], Any]) -> None:
    """Call a function as a step of training is called: once a replica."""
    strategy = _strategy()
    if strategy is None:
        function()
        return
    import tensorflow as tf

    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")  # once, eagerly, costs nothing; TensorFlow warns of it all the same
    try:
        strategy.run(function)
    finally:
        logger.setLevel(level)


def number(variable: keras.Variable) -> float:
    """Return the value of a scalar variable; of one that each replica has its own, such as a metric's, the sum."""
    return float(variable) if _strategy() is None else float(variable.value.read_value())


def logs_of_processes(logs: Any) -> Any:
    """Return the logs of a step in the form in which Keras takes their mean over processes: along a first axis.

    Keras 3.15 itself returns scalars, and fails. With one process they stay as they are.
    """
    return logs if processes() == 1 else {name: keras.ops.expand_dims(value, 0) for name, value in logs.items()}


def adam(**options: Any) -> keras.optimizers.Optimizer:
    """Adam; on several replicas it clips the sum of their gradients, as one device would, not each one's part."""
    return (keras.optimizers.Adam if _strategy() is None else _adam_of_replicas())(**options)


def _adam_of_replicas() -> Any:
    import tensorflow as tf

    class AdamOfReplicas(keras.optimizers.Adam):
        def _clip_gradients(self, grads: Any) -> Any:
            context = tf.distribute.get_replica_context()
            if self.global_clipnorm is None or context is None:
                return super()._clip_gradients(grads)
            number = context.num_replicas_in_sync
            clipped = super()._clip_gradients(context.all_reduce(tf.distribute.ReduceOp.SUM, list(grads)))
            return [gradient / number for gradient in clipped]  # Keras sums them again

    return AdamOfReplicas


def _strategy() -> Any:
    """The tf.distribute.Strategy in use, or None."""
    if not is_tensorflow():
        return None
    import tensorflow as tf

    return tf.distribute.get_strategy() if tf.distribute.has_strategy() else None


def _resolver() -> Any:
    """What knows the processes of the strategy in use, or None where there is one process."""
    resolver = getattr(_strategy(), "cluster_resolver", None)
    return resolver if resolver is not None and resolver.cluster_spec().jobs else None
