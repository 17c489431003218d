"""The JSON schema of a registration's metrics."""

import json
from importlib.resources import files
from typing import Any

# Of the metrics' keys and what they mean. A key that is added leaves it; one that changes or goes raises it.
SCHEMA_VERSION = 1


def metrics_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) that `register.py --metrics` and `Result.summary` follow."""
    return json.loads(files("acsgreg_tf.registration").joinpath("metrics_schema.json").read_text(encoding="utf-8"))
