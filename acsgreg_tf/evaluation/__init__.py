"""Methods measured on lists of pairs; the paper's studies."""

from acsgreg_tf.evaluation.measures import MEASURES, NUMBERS, measure
from acsgreg_tf.evaluation.methods import Crops, Network, Peer
from acsgreg_tf.evaluation.pairs import pair_rows, read_pairs, split_pairs
from acsgreg_tf.evaluation.runner import COLUMNS, KEY, evaluate
from acsgreg_tf.evaluation.tables import SHOWN, cell, comparison, markdown, summarise, tables

__all__ = [
    "COLUMNS",
    "KEY",
    "MEASURES",
    "NUMBERS",
    "SHOWN",
    "Crops",
    "Network",
    "Peer",
    "cell",
    "comparison",
    "evaluate",
    "markdown",
    "measure",
    "pair_rows",
    "read_pairs",
    "split_pairs",
    "summarise",
    "tables",
]
