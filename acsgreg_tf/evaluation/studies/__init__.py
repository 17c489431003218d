"""The paper's studies I, II and III (section 3.2), and ablations beside them.

Study I trains AVoxelMorph, one model a level, on all ordered pairs of the level; study II trains one AVoxelMorph and
study III one ACSGRegNet on the same sampled pairs of all levels. All are tested on the same pairs of people held out.
An ablation is study III with one thing taken away.

Everything lies in one folder, and what is finished is not done again: `cohort/` and `split.json` (unless a prepared
cohort is used), `crops/` (where a scale reduces them), `runs/NAME/` (the network, its logs, `test.csv`), the report.
"""

from acsgreg_tf.evaluation.studies.plan import ABLATIONS, STUDIES, Run, plan
from acsgreg_tf.evaluation.studies.report import write_report
from acsgreg_tf.evaluation.studies.run import StudyResults, run_studies
from acsgreg_tf.evaluation.studies.scales import SCALES, Scale

__all__ = ["ABLATIONS", "SCALES", "STUDIES", "Run", "Scale", "StudyResults", "plan", "run_studies", "write_report"]
