"""Methods measured on lists of pairs; the paper's studies."""

from acsgreg_tf.evaluation.isolated import IsolatedMethod, isolated
from acsgreg_tf.evaluation.measures import ANATOMY, MEASURES, NETWORK_AFFINE, NUMBERS, Outcome, measure, part_columns
from acsgreg_tf.evaluation.methods import CropMethod, Method, RegisterMethod, outcome_of
from acsgreg_tf.evaluation.pairs import Pair, pair_labels, pair_rows, read_pairs, split_pairs
from acsgreg_tf.evaluation.paper_tables import write_paper_tables
from acsgreg_tf.evaluation.runner import COLUMNS, KEY, evaluate, put_row, read_rows
from acsgreg_tf.evaluation.tables import SHOWN, by_kind, cell, comparison, markdown, summarise, tables

__all__ = [
    "ANATOMY",
    "COLUMNS",
    "KEY",
    "MEASURES",
    "NETWORK_AFFINE",
    "NUMBERS",
    "SHOWN",
    "CropMethod",
    "IsolatedMethod",
    "Method",
    "Outcome",
    "Pair",
    "RegisterMethod",
    "by_kind",
    "cell",
    "comparison",
    "evaluate",
    "markdown",
    "isolated",
    "measure",
    "outcome_of",
    "pair_labels",
    "pair_rows",
    "part_columns",
    "put_row",
    "read_pairs",
    "read_rows",
    "split_pairs",
    "summarise",
    "tables",
    "write_paper_tables",
]
