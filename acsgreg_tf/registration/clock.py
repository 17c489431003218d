"""The steps of a registration: which they are, when each begins, and how long it takes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# In this order; "refining" unless it is switched off.
STEPS = (
    "reading",
    "loading the network",
    "finding the vertebrae",
    "registering",
    "refining",
    "inverting",
    "moving the image",
    "measuring",
)

# Called with a step's name as it begins; and as progress(done, total, objective) after each step of a refinement.
Progress = Callable[[str], object]
StepProgress = Callable[[int, int, float], object]


class Clock:
    """Seconds by step.

    Args:
        progress: Called with the name of each step as it begins.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self.progress = progress
        self.seconds: dict[str, float] = {}
        self.started = time.perf_counter()

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Announce a step and time the body of a `with` as it."""
        if self.progress is not None:
            self.progress(step)
        with self.timed(step):
            yield

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Time the body of a `with` as one step that is announced otherwise."""
        begun = time.perf_counter()
        yield
        self.seconds[step] = time.perf_counter() - begun

    def summary(self) -> dict[str, float]:
        """Seconds by step, and in total since the clock was made, to a millisecond."""
        seconds = {**self.seconds, "total": time.perf_counter() - self.started}
        return {step: round(value, 3) for step, value in seconds.items()}
