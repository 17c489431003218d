"""Waiting for other processes in tests, without sleeping for a fixed time."""

import os
import time
from pathlib import Path


def is_running(process):
    """Whether a process exists and is no zombie."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    if not Path("/proc/self/stat").exists():
        return True
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"


def wait_until(condition, seconds):
    """Poll until `condition()` is true; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)
