"""How many examples a property test draws: few and always the same, or many new ones (`make explore`)."""

import os
from typing import Any

from hypothesis import settings

# Times as many examples, of a fresh seed; 1 draws the same in every run: a change is to blame for a failure.
FACTOR = int(os.environ.get("ACSGREG_EXAMPLES", 1))

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None, print_blob=True)
PROFILE = "repeatable" if FACTOR == 1 else "explore"
settings.load_profile(PROFILE)


def examples(count: int, **options: Any) -> settings:
    """Decorates a property test that draws `count` examples, or FACTOR times as many."""
    return settings(max_examples=count * FACTOR, **options)
