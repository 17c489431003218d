"""The made-up vertebra of these tests is a tenth of a real one, and their networks answer what they are told."""

import pytest

from acsgreg_tf.anatomy import plausibility
from acsgreg_tf.registration import doubts


@pytest.fixture(autouse=True)
def toy_limits(monkeypatch):
    monkeypatch.setattr(plausibility, "PLAUSIBLE_ML", (0.1, 150))
    monkeypatch.setattr(plausibility, "PLAUSIBLE_MM", ((5, 5, 5), (150, 130, 85)))
    monkeypatch.setattr(plausibility, "LEAST_AHEAD_MM", -100)
    monkeypatch.setattr(doubts, "LEAST_DICE", 0)
    monkeypatch.setattr(doubts, "MOST_ASSD_MM", 100)
    monkeypatch.setattr(doubts, "WORSE_BY", 1)
