"""Holds back what other libraries print while they read a file; the caller says what is wrong with it in one line."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from nibabel.imageglobals import logger

_lock = threading.Lock()


@contextmanager
def without_chatter() -> Iterator[None]:
    """Drop what C++ (MetaIO, GDCM, ITK) writes to stderr, and nibabel's log, within the block.

    All of the process's stderr is held back, so blocks of several threads wait for each other.
    """
    with _lock:
        before, disabled = None, logger.disabled
        logger.disabled = True
        try:
            sys.stderr.flush()
            before = os.dup(2)
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 2)
            os.close(silent)
        except (AttributeError, OSError):  # a process without stderr, such as a window's
            pass
        try:
            yield
        finally:
            logger.disabled = disabled
            if before is not None:
                os.dup2(before, 2)
                os.close(before)
