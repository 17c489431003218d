"""The made-up vertebra of these tests is a tenth of a real one."""

import pytest

from acsgreg_tf.anatomy import plausibility


@pytest.fixture(autouse=True)
def toy_sizes(monkeypatch):
    monkeypatch.setattr(plausibility, "PLAUSIBLE_ML", (1, 150))
    monkeypatch.setattr(plausibility, "PLAUSIBLE_MM", ((10, 10, 8), (150, 130, 85)))
