"""The set of pairs that a table of people gives: which vertebrae are in it, and that it is the same again."""

import csv

import numpy as np
import pytest

from acsgreg_tf.anatomy.vertebra import extract
from acsgreg_tf.cli.test_set import main
from acsgreg_tf.cohort.test_set import build_set
from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation import read_pairs
from acsgreg_tf.io.images import Image, read_image, read_label
from tests.registration.cases import grid_about, save, scan


def add_scan(folder, name, number, ct=True, parts=False, edge=False, suffix="seg-vert_msk", size=2.5):
    """A person's scan of one vertebra (L3 by VerSe is 22); `edge` cuts it, `parts` adds arch and body."""
    grid = grid_about((3, 4, 5), (40, 40, 24 if not edge else 10), np.multiply(size, (1, 1, 1.5)))
    image, label = scan(grid, (3, 4, 5), number=number, size=size)
    if ct:
        save(image, folder / f"{name}_ct.nii.gz")
    save(label, folder / f"{name}_{suffix}.nii.gz")
    if parts:
        half = np.arange(label.data.shape[1])[None, :, None] < 20
        data = np.where(label.data > 0, np.where(half, 41, 49), 0)  # of the neighbour too, as in real maps
        save(Image(data.astype(np.int16), label.grid), folder / f"{name}_seg-subreg_msk.nii.gz")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    (folder / "scans").mkdir()
    add_scan(folder / "scans", "ann", 22, parts=True)
    add_scan(folder / "scans", "ben", 29, suffix="seg_totalseg", parts=True)
    add_scan(folder / "scans", "cat", 22, ct=False)
    add_scan(folder / "scans", "dan", 22, edge=True)
    add_scan(folder / "scans", "eve", 22)
    add_scan(folder / "scans", "fay", 22, size=0.5)  # a fragment of a vertebra
    lines = [
        f"{name},{'train' if name == 'eve' else 'test'},yes,L3,{name}_*" for name in "ann ben cat dan eve fay".split()
    ]
    (folder / "people.csv").write_text("\n".join(["person,side,ct,levels,files", *lines]))
    return folder


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_ordered_pair_of_whole_vertebrae_of_one_side(data, tmp_path, capsys):
    assert main(["--data", str(data), "--out", str(tmp_path)]) == 0
    assert "6 ordered pairs (L3 6): 2 of two real CTs, 2 with parts" in capsys.readouterr().out
    rows = rows_of(tmp_path / "pairs.csv")
    kinds = {(row["fixed_person"], row["moving_person"]): row["kind"] for row in rows}
    assert len(rows) == len(kinds) == 6 and set(sum(kinds, ())) == {"ann", "ben", "cat"}
    assert {pair for pair, kind in kinds.items() if kind == "real"} == {("ann", "ben"), ("ben", "ann")}
    with_parts = {(row["fixed_person"], row["moving_person"]) for row in rows if row["fixed_parts"]}
    assert with_parts == {("ann", "ben"), ("ben", "ann")}
    vertebrae = {row["person"]: row for row in rows_of(tmp_path / "vertebrae.csv")}
    assert "reaches the edge of dan_ct.nii.gz" in vertebrae["dan"]["notes"] and not vertebrae["dan"]["image"]
    assert "0.2 ml are no vertebra" in vertebrae["fay"]["notes"]
    assert vertebrae["cat"]["kind"] == "simulated" and vertebrae["ann"]["kind"] == "real"


def test_a_vertebra_is_what_the_whole_scan_shows(data, tmp_path):
    """Cut out of its scan it gives the same crop, and its neighbour's parts are gone."""
    build_set(data, tmp_path)
    pair = next(pair for pair in read_pairs(tmp_path / "pairs.csv") if "ben_L3_ct" in pair["fixed"])
    scans = data / "scans"
    whole = extract(read_image(scans / "ben_ct.nii.gz"), read_label(scans / "ben_seg_totalseg.nii.gz"), 29)
    cut = extract(read_image(pair["fixed"]), read_label(pair["fixed_seg"]))
    np.testing.assert_allclose(cut.image, whole.image, atol=1e-6)
    np.testing.assert_allclose(cut.grid.affine, whole.grid.affine)
    parts, label = read_label(tmp_path / "vertebrae/ben_L3_parts.nii.gz"), read_label(pair["fixed_seg"])
    assert np.count_nonzero(parts.data) == np.count_nonzero(label.data)


def test_a_second_run_does_what_is_missing_and_gives_the_same(data, tmp_path):
    build_set(data, tmp_path)
    lists = [(tmp_path / name).read_text() for name in ("pairs.csv", "vertebrae.csv")]
    image = tmp_path / "vertebrae" / "cat_L3_ct.nii.gz"
    first, kept = read_image(image).data, (tmp_path / "vertebrae" / "ann_L3_ct.nii.gz").stat().st_mtime_ns
    image.unlink()
    build_set(data, tmp_path)
    np.testing.assert_array_equal(read_image(image).data, first)  # simulated anew
    assert (tmp_path / "vertebrae" / "ann_L3_ct.nii.gz").stat().st_mtime_ns == kept
    assert [(tmp_path / name).read_text() for name in ("pairs.csv", "vertebrae.csv")] == lists
    with pytest.raises(InputError, match="another sides"):
        build_set(data, tmp_path, ("train",))


def test_both_sides_pair_people_across(data, tmp_path):
    vertebrae = build_set(data, tmp_path, ("test", "train"))
    assert {v.person for v in vertebrae if v.image} == {"ann", "ben", "cat", "eve"}
    assert len(read_pairs(tmp_path / "pairs.csv")) == 12
    with pytest.raises(InputError, match="gives no two whole vertebrae"):
        build_set(data, tmp_path / "train", ("train",))
