"""Write a cohort of generated vertebrae: `python scripts/generate.py --help`."""

import sys

from acsgreg_tf.cli.generate import main

if __name__ == "__main__":
    sys.exit(main())
