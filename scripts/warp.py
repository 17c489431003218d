"""Carry images, labels, points and surfaces over: `python scripts/warp.py --help`."""

import sys
from pathlib import Path

# Works from a clone that is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from acsgreg_tf.cli.warp import main  # noqa: E402

if __name__ == "__main__":
    raise SystemExit(main())
