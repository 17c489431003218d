"""The results page: the test set measured, its tables and its picture, by one command that can be stopped."""

from acsgreg_tf.evaluation.results.page import results_page, short_section
from acsgreg_tf.evaluation.results.picture import save_results_picture
from acsgreg_tf.evaluation.results.provenance import provenance
from acsgreg_tf.evaluation.results.run import Measured, Plan, measure_all, read_measured
from acsgreg_tf.evaluation.results.usual import usual_values

__all__ = [
    "Measured",
    "Plan",
    "measure_all",
    "provenance",
    "read_measured",
    "results_page",
    "save_results_picture",
    "short_section",
    "usual_values",
]
