"""Another tool's answer is measured as our own would be: the same row for the same transform."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk

from acsgreg_tf.cli.measure import main
from acsgreg_tf.evaluation import NUMBERS, measure, outcome_of, pair_labels, read_pairs
from acsgreg_tf.evaluation.answers import affine_part
from acsgreg_tf.geometry import Affine, Composite, DenseField, network_grid
from acsgreg_tf.io.images import Image, as_label, read_label, write_image
from acsgreg_tf.io.transforms import read_transform, to_sitk_transform, write_transform
from acsgreg_tf.registration import register
from tests.registration.cases import NUMBER, grid_about, save, save_network, scan

FIXED, MOVING = (12.5, -30.0, 55.5), (-20.0, 40.5, 7.0)


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    """(folder, pair, our row): two scans with parts and landmarks, and our transform written in several ways."""
    folder, options = tmp_path_factory.mktemp("answer"), {}
    cells = []
    for name, place in (("fixed", FIXED), ("moving", MOVING)):
        ct, label = scan(grid_about(place, (40, 36, 36), (1, 1.2, 1.4), (0.2, -0.1, 0.3)), place)
        depth = np.indices(label.data.shape)[1] < 18
        parts = Image(np.where(label.data > 0, np.where(depth, 41, 50), 0).astype(np.int16), label.grid)
        for kind, image in (("ct", ct), ("seg", label), ("parts", parts)):
            save(image, folder / f"{name}_{kind}.nii.gz")
        points = np.array([place, np.add(place, (3, 2, 1))])
        np.savetxt(folder / f"{name}.csv", points, delimiter=",", header="x,y,z", comments="")
        options |= {name: folder / f"{name}_ct.nii.gz", f"{name}_seg": folder / f"{name}_seg.nii.gz"}
        cells += [f"{name}_ct.nii.gz", f"{name}_seg.nii.gz", f"{name}_parts.nii.gz", f"{name}.csv"]
    head = ",".join(f"{side}{what}" for side in ("fixed", "moving") for what in ("", "_seg", "_parts", "_points"))
    (folder / "pairs.csv").write_text(f"{head},level\n{','.join(cells)},L3\n")
    (pair,) = read_pairs(folder / "pairs.csv")
    model = save_network(folder / "small.h5", (48, 48, 48))
    # Not refined: so small a vertebra gets a field too steep to be sampled at 1.4 mm without loss.
    result = register(**options, label=NUMBER, model=model, refine=0)
    row = measure(outcome_of(result, pair_labels(pair)[1]), pair)
    write_transform(folder / "warp.h5", result.transform)
    write_transform(folder / "inverse.h5", result.inverse)
    write_transform(folder / "total.nii.gz", result.transform, result.moved.grid)
    write_transform(folder / "affine.tfm", result.affine)
    sitk.WriteTransform(to_sitk_transform(result.affine), str(folder / "affine.mat"))
    write_transform(folder / "phi.h5", Composite(result.transform.parts[:-1]))
    write_image(folder / "moved.nii.gz", result.moved_seg.data, result.moved_seg.grid)
    return folder, pair, row


@pytest.fixture(autouse=True)
def small_box(monkeypatch):
    monkeypatch.setattr("acsgreg_tf.evaluation.answers.NETWORK_SHAPE", (48, 48, 48))


def row_of(answer, tmp_path, *options):
    folder, pair, _ = answer
    given = [text for name in ("fixed", "moving") for text in (f"--{name}-seg", pair[f"{name}_seg"])]
    assert main([*given, "--level", "L3", *map(str, options), "--out", str(tmp_path / "rows.csv")]) == 0
    with open(tmp_path / "rows.csv", newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    return {name: float(row[name] or "nan") for name in NUMBERS} | {"method": row["method"]}


def anatomy(folder):
    kinds = (("parts", "_parts.nii.gz"), ("points", ".csv"))
    return [
        text
        for side in ("fixed", "moving")
        for what, ending in kinds
        for text in (f"--{side}-{what}", folder / f"{side}{ending}")
    ]


def test_our_own_transform_gives_our_own_row(answer, tmp_path):
    folder, _, own = answer
    inverse = ("--inverse", folder / "inverse.h5")
    row = row_of(answer, tmp_path, "--transform", folder / "warp.h5", *inverse, *anatomy(folder))
    unknown = {"seconds", "network_folds_count", "network_folds_percent", "dice_network_affine"}
    unknown |= {"assd_mm_network_affine", "inverse_error_mm", "inverse_error_max_mm"}
    for name in set(NUMBERS) - unknown:
        assert row[name] == pytest.approx(own[name], abs=1e-4, nan_ok=True), name
    assert row["inverse_error_mm"] == pytest.approx(own["inverse_error_mm"], abs=1e-3)
    assert row["inverse_error_max_mm"] == pytest.approx(own["inverse_error_max_mm"], abs=0.05)
    assert row["dice_arch"] > 0.5 and row["tre_mm_deformable"] > 0  # they were measured at all


@pytest.mark.parametrize(
    "files", [("phi.h5", "affine.mat"), ("phi.h5", "affine.tfm"), ("total.nii.gz", "--affine", "affine.tfm")]
)
def test_other_ways_to_write_it_give_it_too(answer, tmp_path, files):
    folder, _, own = answer
    files = [file if file.startswith("--") else folder / file for file in files]
    row = row_of(answer, tmp_path, "--transform", *files, *anatomy(folder))
    for name in ("dice_affine", "dice_deformable", "assd_mm_deformable", "dice_parts", "tre_mm_deformable"):
        assert row[name] == pytest.approx(own[name], abs=0.02), name
    assert row["tre_mm_deformable"] == pytest.approx(own["tre_mm_deformable"], abs=0.02)


def test_a_moved_label_gives_the_overlap_and_nothing_of_the_transform(answer, tmp_path):
    folder, _, own = answer
    row = row_of(answer, tmp_path, "--moved-seg", folder / "moved.nii.gz", "--name", "tool", "--seconds", 3)
    # The label lies on voxels of 1.4 mm and is interpolated once more, which shows on a vertebra of 15 mm.
    assert row["dice_deformable"] == pytest.approx(own["dice_deformable"], abs=0.05)
    assert row["dice_before"] == pytest.approx(own["dice_before"], abs=1e-6) and row["method"] == "tool"
    assert np.isnan(row["folds_count"]) and np.isnan(row["dice_affine"]) and row["seconds"] == 3


def test_parts_that_were_moved_with_it(answer, tmp_path):
    folder, pair, _ = answer
    parts = [f"--{name}-parts={folder / name}_parts.nii.gz" for name in ("fixed", "moving")]
    fixed_parts, moved = ("--moved-parts", folder / "fixed_parts.nii.gz"), ("--moved-seg", pair["fixed_seg"])
    row = row_of(answer, tmp_path, *moved, *parts, *fixed_parts)
    assert row["dice_deformable"] > 0.99 and row["dice_arch"] == row["dice_body"] == 1


def test_a_map_of_another_tool(answer, tmp_path):
    """Its numbers by its own table, or named."""
    folder, pair, own = answer
    image = as_label(pair["moving_seg"])
    other = save(Image(np.where(image.data == NUMBER, 29, image.data), image.grid), tmp_path / "other_seg.nii.gz")
    maps = ["--fixed-seg", pair["fixed_seg"], "--moving-seg", str(other), "--transform", str(folder / "warp.h5")]
    for options in (
        ["--level", "L3", "--moving-table", "totalsegmentator"],
        ["--label", str(NUMBER), "--moving-label", "29"],
    ):
        out = tmp_path / f"{options[0][2:]}.csv"
        assert main([*maps, *options, "--out", str(out)]) == 0
        with open(out, newline="", encoding="utf-8") as file:
            (row,) = csv.DictReader(file)
        assert float(row["dice_deformable"]) == pytest.approx(own["dice_deformable"], abs=1e-4)


def test_an_affine_backwards(tmp_path):
    write_transform(tmp_path / "there.tfm", Affine(np.diag([2.0, 1, 1, 1])))
    from acsgreg_tf.cli.measure import read_transforms

    there, back = (read_transforms([text], None) for text in (f"{tmp_path}/there.tfm", f"[{tmp_path}/there.tfm,1]"))
    np.testing.assert_allclose(back.apply(there.apply([[1, 2, 3]])), [[1, 2, 3]])


def test_a_matrix_as_greedy_writes_it(tmp_path):
    np.savetxt(tmp_path / "affine.mat", np.diag([2.0, 1, 1, 1]))
    np.testing.assert_allclose(read_transform(tmp_path / "affine.mat").apply([[1, 2, 3]]), [[2, 2, 3]])


def test_the_affine_part_is_what_follows_the_bending():
    field = DenseField(np.zeros((4, 4, 4, 3)), network_grid((0, 0, 0), (4, 4, 4)))
    twice, shifted = Affine(np.diag([2.0, 2, 2, 1])), Affine(np.array([[1, 0, 0, 5], *np.eye(4)[1:]]))
    both = affine_part(Composite([field, twice, shifted]))
    np.testing.assert_allclose(both.apply([[1, 1, 1]]), [[7, 2, 2]])
    assert affine_part(Composite([twice, field])) is None and affine_part(field) is None
    assert affine_part(twice).matrix[0, 0] == 2


@pytest.mark.parametrize(
    "options, words",
    [
        (["--transform", "gone.h5"], "gone.h5: no such file"),
        (["--transform", "gone.h5", "--moving-label", "29"], "--moving-label 29: goes with --label"),
        (["--transform", "gone.h5", "--label", "22"], "label 22 and level L3: give one of the two"),
        (["--moved-seg", "{fixed_seg}", "--inverse", "x.h5"], "go with --transform"),
        (["--moved-seg", "{fixed_seg}", "--fixed-parts", "a.nii.gz"], "--fixed-parts and --moving-parts"),
        (["--transform", "{folder}/affine.tfm", "--out", "{fixed_seg}"], "would replace an input"),
    ],
)
def test_faults_are_one_line(answer, capsys, options, words):
    folder, pair, _ = answer
    options = [text.format(folder=folder, **pair) for text in options]
    assert main(["--fixed-seg", pair["fixed_seg"], "--moving-seg", pair["moving_seg"], "--level", "L3", *options]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and words in shown
    assert read_label(pair["fixed_seg"]).data.any()


@pytest.mark.slow
def test_what_ants_answers_is_measured_as_ants_moves_it(answer, tmp_path):
    """Its two files in its own order, against the label that it moves with them itself; no affine undoes the bend."""
    ants = pytest.importorskip("ants", reason="antspyx is not installed")
    folder, pair, own = answer
    wave = SimpleNamespace(apply=lambda points: points + 3 * np.sin((points[..., 1:2] - MOVING[1]) / 3.5) * (1, 0, 0))
    images = scan(grid_about(MOVING, (40, 36, 36), (1, 1.2, 1.4), (0.2, -0.1, 0.3)), MOVING, wave)
    pair = dict(pair) | {name: str(tmp_path / f"{name}.nii.gz") for name in ("moving", "moving_seg")}
    for name, image in zip(("moving", "moving_seg"), images, strict=True):
        save(image, pair[name])
    bent = folder, pair, own
    fixed, moving = (ants.image_read(pair[name]) for name in ("fixed", "moving"))
    centred = ants.registration(fixed, moving, "Translation", random_seed=1)["fwdtransforms"]
    files = ants.registration(fixed, moving, "SyN", initial_transform=centred[0], random_seed=1)["fwdtransforms"]
    assert [file.split(".", 1)[1] for file in files] == ["nii.gz", "mat"]
    label = ants.image_read(pair["moving_seg"]) == NUMBER

    def dice_of(transforms):
        moved = ants.apply_transforms(fixed, label, transforms, interpolator="linear")
        ants.image_write((moved > 0.5) * 1.0, str(tmp_path / "moved.nii.gz"))
        row = row_of(bent, tmp_path, "--moved-seg", tmp_path / "moved.nii.gz", "--name", "ants")
        (tmp_path / "rows.csv").unlink()
        return row["dice_deformable"]

    row = row_of(bent, tmp_path, "--transform", *files, "--name", "ants")
    (tmp_path / "rows.csv").unlink()
    assert row["dice_deformable"] == pytest.approx(dice_of(files), abs=0.05)
    assert row["dice_affine"] == pytest.approx(dice_of(files[1:]), abs=0.05)
    assert row["dice_affine"] < row["dice_deformable"] and row["folds_count"] == 0
