"""What data/ ships: small, readable, and what its README's commands make."""

import json
from pathlib import Path

import numpy as np
import pytest

from acsgreg_tf import evaluation
from acsgreg_tf.cohort.manifest import read_manifest, usable
from acsgreg_tf.cohort.split import read_split
from acsgreg_tf.io.images import read_image, read_label
from acsgreg_tf.synthesis.generator import CohortGenerator

DATA = Path(__file__).resolve().parents[1] / "data"


def test_it_is_at_most_5_megabytes():
    assert sum(path.stat().st_size for path in DATA.rglob("*")) < 5e6


def test_the_manifests_and_the_split_read():
    assert [s.level for s in usable(read_manifest(DATA / "sample" / "manifest.csv"))] == ["L3", "L3"]
    samples = usable(read_manifest(DATA / "cohort" / "manifest.csv"))
    assert len(samples) == 30 and {s.level for s in samples} == {"L1", "L2", "L3", "L4", "L5"}
    split = read_split(DATA / "cohort" / "split-person.json")
    assert len(split.train) == len(split.val) == len(split.test) == 10
    assert len(evaluation.split_pairs(DATA / "cohort" / "split-person.json")) == 10


@pytest.mark.parametrize("folder, index", [("sample", 1), ("cohort", 13)])
def test_one_number_gives_one_vertebra_on_any_machine(folder, index):
    """Made anew on this machine, it is the one that was shipped, up to the rounding of 8 bits."""
    made = json.loads((DATA / folder / "generate.json").read_text(encoding="utf-8"))
    sample = read_manifest(DATA / folder / "manifest.csv")[index]
    image, label = CohortGenerator(made["seed"], made["levels"]).make(index)
    assert np.count_nonzero((label > 0) != (read_label(sample.label).data > 0)) < 20
    away = np.abs(image - read_image(sample.image).data)
    assert np.quantile(away, 0.9999) < 2 / 255 and sample.volume_ml == pytest.approx((label > 0).sum() / 1000, abs=0.02)
