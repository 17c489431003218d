"""One page of many registrations: `python scripts/report.py --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from acsgreg_tf.cli.report import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
