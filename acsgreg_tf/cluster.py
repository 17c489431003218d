"""Work on the workers of a Dask cluster: each call is made once, and again only where its worker was lost."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from acsgreg_tf.errors import InputError

__all__ = ["run_each_on"]

# Seconds to wait for a scheduler.
_PATIENCE = 30


def run_each_on(
    address: str, function: Callable[..., Any], items: Sequence[Any], arguments: tuple = ()
) -> Iterator[tuple[Any, Any]]:
    """Call `function(item, *arguments)` for each item on a cluster.

    The workers need this package in the version that is here, and files under the same paths: nothing is copied.

    Args:
        address: Of the scheduler: tcp://host:8786, or a file that `dask scheduler --scheduler-file` wrote.
        function: A function at the top of a module, since it is pickled.
        items: What it is called with.
        arguments: Further arguments.

    Yields:
        (item, result) as they are finished.

    Raises:
        InputError: dask.distributed is not installed, no scheduler answers, or an item ended one worker after another.
        Exception: Whatever `function` raises; the items that have not begun are dropped.
    """
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError as error:
        raise InputError(f"dask {address}: dask.distributed is not installed; pip install distributed") from error
    where = {"address": address} if "://" in address else {"scheduler_file": address}
    try:
        client = Client(**where, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(f"dask {address}: no scheduler answers there") from error
    futures = {}
    try:
        for item in items:
            # Not "pure": two items that are equal are two calls. An item whose worker is lost is given to others, as
            # often as the scheduler's allowed-failures says (3), in case that it is the item that ends them.
            futures[client.submit(function, item, *arguments, pure=False)] = item
        for future in as_completed(list(futures), loop=client.loop):
            try:
                result = future.result()
            except KilledWorker as error:
                raise InputError(f"dask {address}: {futures[future]}: ended one worker after another") from error
            yield futures.pop(future), result
            future.release()
    finally:
        client.cancel(list(futures))
        client.close()
