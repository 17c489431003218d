"""Measure the test set and write the results page: `python scripts/results.py --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from acsgreg_tf.cli.results import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
