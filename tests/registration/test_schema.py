"""The metrics' schema: it is one, names its version, and refuses what does not follow it."""

import copy

import jsonschema
import pytest

from acsgreg_tf.registration import SCHEMA_VERSION, metrics_schema

STAGES = {"before": 0.1, "affine": 0.2, "deformable": 0.3}
SUMMARY = {
    "schema_version": 1,
    "fixed": "a",
    "moving": "b",
    "model": "none",
    "engine": None,
    "level": None,
    "label": {"fixed": 1, "moving": None},
    "cut": {"fixed": False, "moving": True},
    "warnings": [],
    "transform": "rigid",
    "affine": {"rotation_deg": [0, 0, 1], "angle_deg": 1, "translation_mm": [1, 2, 3], "stretches": [1, 1, 1]},
    "lncc": STAGES,
    "ncc": STAGES,
    "folds": {"count": 0, "percent": 0.0},
    "inverse_error_mm": 0.0,
    "inverse_error_p99_mm": 0.0,
    "inverse_error_max_mm": 0.0,
    "affine_fit_mm": None,
    "flags": [{"name": "low_dice", "text": "..."}],
    "seconds": {"total": 1.0, "reading": 0.1},
}


def valid(summary):
    return jsonschema.Draft202012Validator(metrics_schema()).is_valid(summary)


def test_it_is_a_schema_of_its_version():
    schema = metrics_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema_version"]["const"] == SCHEMA_VERSION
    assert schema["$id"].endswith(f":{SCHEMA_VERSION}")
    assert valid(SUMMARY) and valid({**SUMMARY, "a_key_of_a_later_release": 1})


@pytest.mark.parametrize("key", SUMMARY)
def test_what_is_always_there_is_required(key):
    assert not valid({name: value for name, value in SUMMARY.items() if name != key})


@pytest.mark.parametrize(
    "key, value",
    [
        ("schema_version", 2),
        ("transform", "elastic"),
        ("dice", STAGES),  # without the distance
        ("flags", ["low_dice"]),
        ("folds", {"count": -1, "percent": 0}),
        ("lncc", {"before": 0.1}),
        ("label", {"fixed": "L3", "moving": 1}),
    ],
)
def test_what_does_not_follow_it_is_refused(key, value):
    assert not valid({**copy.deepcopy(SUMMARY), key: value})
