"""Pages for a browser: one registration or several levels (`write_report`), and a table of many (`write_index`).

A page is one file that opens offline. NiiVue draws the volumes; its code comes from the package ipyniivue (the extra
`report`).
"""

from acsgreg_tf.report.index import Entry, read_entries, write_index
from acsgreg_tf.report.niivue import check_niivue
from acsgreg_tf.report.page import write_report
from acsgreg_tf.report.section import Section, section_of
from acsgreg_tf.report.thumbnail import thumbnail

__all__ = [
    "Entry",
    "Section",
    "check_niivue",
    "read_entries",
    "section_of",
    "thumbnail",
    "write_index",
    "write_report",
]
