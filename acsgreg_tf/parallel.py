"""Processes that work beside this one and never outlive it."""

import multiprocessing
import multiprocessing.connection
import os
import threading


def follow_parent():
    """For the start of a worker process: end it at once when its parent is gone, however the parent ended.

    A parent that is killed cannot tell its workers, which would wait for ever.
    """
    parent = multiprocessing.parent_process()

    def watch():
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    if parent is not None:
        threading.Thread(target=watch, daemon=True, name="follow-parent").start()
