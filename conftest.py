"""Settings that must stand before TensorFlow and numpy are imported, and the modules that doctest must not import."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# pytest-xdist runs one worker a core: each keeps to one thread, or they wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    for _name in (
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
    ):
        os.environ.setdefault(_name, "1")

# Modules that import an optional package at their top (in a clone: pip install '.[surfaces]').
collect_ignore = ["acsgreg_tf/io/surfaces.py"]
