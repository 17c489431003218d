"""Other registration tools, measured beside the networks by the same code.

A peer is one module of this package that defines `PEERS`, a tuple of `Peer` objects with names of their own. It imports
its tool when it runs, since the tools come with an optional extra; in a clone: ``pip install '.[peers]'``.
"""

import importlib
import pkgutil

from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation.peers.base import Alignment, Peer, Side

__all__ = ["PEERS", "Alignment", "Peer", "Side", "peer"]

PEERS: dict[str, Peer] = {
    peer.name: peer
    for module in sorted(entry.name for entry in pkgutil.iter_modules(__path__) if entry.name != "base")
    for peer in importlib.import_module(f"{__name__}.{module}").PEERS
}


def peer(name: str) -> Peer:
    """The peer of that name.

    Raises:
        InputError: There is none.
    """
    if name not in PEERS:
        raise InputError(f"method {name!r}: must be one of network, {', '.join(PEERS)}")
    return PEERS[name]
