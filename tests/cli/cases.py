"""Scans on disk for the tests of register.py, and its arguments."""

import json
from pathlib import Path

import jsonschema
import nibabel as nib
import numpy as np

from acsgreg_tf.cli.register import main
from acsgreg_tf.io.images import Image
from acsgreg_tf.registration import metrics_schema
from tests.registration.cases import NUMBER, grid_about, save, save_network, scan

FIXED, MOVING = (12.5, -30.0, 55.5), (-200.0, 40.5, 7.0)


def write_cases(folder):
    """Paths of two oblique scans with their label maps, of masked crops, and of a small network."""
    grids = {
        "fixed": (FIXED, grid_about(FIXED, (40, 36, 36), (1, 1.2, 1.4), (0.2, -0.1, 0.3), "PIR")),
        "moving": (MOVING, grid_about(MOVING, (30, 50, 40), (1.5, 0.9, 1.3), (-0.3, 0.2, 0.1), "LSA")),
    }
    paths = {"model": save_network(folder / "small.h5")}
    for name, (place, grid) in grids.items():
        ct, label = scan(grid, place)
        paths[name] = save(ct, folder / f"{name}_ct.nii.gz")
        paths[f"{name}_seg"] = save(label, folder / f"{name}_seg.nii.gz")
        crop = np.where(label.data == NUMBER, np.clip((ct.data + 200) / 1700, 0, 1), 0)
        paths[f"{name}_crop"] = save(Image(crop.astype(np.float32), grid), folder / f"{name}_crop.nii.gz")
    return paths


def scans(cases, *options, moved):
    return [
        *("--fixed", cases["fixed"], "--fixed-seg", cases["fixed_seg"]),
        *("--moving", cases["moving"], "--moving-seg", cases["moving_seg"]),
        *("--model", cases["model"], "--moved", str(moved), *map(str, options)),
    ]


def crops(cases, *options, moved, **others):
    paths = {
        name: others.get(name, cases[name if name == "model" else f"{name}_crop"])
        for name in ("fixed", "moving", "model")
    }
    return [
        *("--fixed", str(paths["fixed"]), "--moving", str(paths["moving"]), "--model", str(paths["model"])),
        *("--moved", str(moved), *map(str, options)),
    ]


def read_metrics(path):
    """What --metrics wrote, checked against its schema; every key stands in the schema."""
    summary = json.loads(Path(path).read_text(encoding="utf-8"))
    schema = metrics_schema()
    jsonschema.validate(summary, schema, jsonschema.Draft202012Validator)
    unknown = set(summary) - set(schema["properties"])
    assert not unknown, f"{unknown}: a key of the metrics wants a line in registration/metrics_schema.json"
    return summary


def fails(arguments, capsys):
    """The one line on stderr of a run that must fail with code 2."""
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ") and shown.err.count("\n") == 1
    return shown.err[len("error: ") : -1]


def nifti(data, affine=None):
    image = nib.Nifti1Image(np.asarray(data, np.float32), np.eye(4) if affine is None else affine)
    return image
