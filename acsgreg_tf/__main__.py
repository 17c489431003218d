"""`python -m acsgreg_tf`: the command `acsgreg`, where it is not on the PATH."""

import sys

from acsgreg_tf.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
