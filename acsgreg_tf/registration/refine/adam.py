"""The Adam optimiser (Kingma and Ba 2015) for one numpy array."""

import numpy as np


class Adam:
    """Adam with a memory short enough for some tens of steps.

    Args:
        rate: Length of a step whose gradient does not change.
        first, second: Decay of the running means of the gradient and of its square.
    """

    def __init__(self, rate: float, first: float = 0.8, second: float = 0.9) -> None:
        self.rate, self.first, self.second = rate, first, second
        self.mean: np.ndarray | float = 0.0
        self.square: np.ndarray | float = 0.0
        self.count = 0

    def step(self, gradient: np.ndarray) -> np.ndarray:
        """The update to subtract from the array, from its gradient."""
        self.count += 1
        self.mean = self.first * self.mean + (1 - self.first) * gradient
        self.square = self.second * self.square + (1 - self.second) * gradient**2
        mean = self.mean / (1 - self.first**self.count)
        return self.rate * mean / (np.sqrt(self.square / (1 - self.second**self.count)) + 1e-12)
