"""The cohort generator and its command: same seed, same cohort, whatever the processes; faults in one line."""

import csv
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from acsgreg_tf.cli.generate import main
from acsgreg_tf.cohort.manifest import read_manifest, usable
from acsgreg_tf.cohort.split import read_split
from acsgreg_tf.errors import InputError
from acsgreg_tf.synthesis import shapes
from acsgreg_tf.synthesis.generator import CohortGenerator
from acsgreg_tf.synthesis.phantom import vertebra
from acsgreg_tf.synthesis.sources import read_sources

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
HEADER = "path,kind,label,level,person,axes\n"


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A folder with label maps of two people's L1 and L2, in an orientation of their own, and their list."""
    folder = tmp_path_factory.mktemp("real")
    rows = []
    for number, person in enumerate(["ann", "ben"]):
        for label, level in ((20, "L1"), (21, "L2")):
            mask = (vertebra(number, level) <= 0).astype(np.uint8) * label
            image = nib.Nifti1Image(mask, np.eye(4)).as_reoriented(np.array([[1, -1], [2, 1], [0, -1]]))
            nib.save(image, folder / f"{person}_{level}.nii.gz")
            rows.append(f"{person}_{level}.nii.gz,label,{label},{level},{person},\n")
    (folder / "list.csv").write_text(HEADER + "".join(rows))
    return folder


def generate(out, *options):
    return main(["--out", str(out), *map(str, options)])


def arrays(folder):
    return {path.name: np.asarray(nib.load(path).dataobj) for path in sorted(folder.glob("*.nii.gz"))}


@pytest.fixture(scope="module")
def cohort(real, tmp_path_factory):
    out = tmp_path_factory.mktemp("cohort") / "new"
    assert generate(out, "--count", 3, "--seed", 5, "--levels", "L1,L2", "--shapes", real / "list.csv") == 0
    return out


def test_a_cohort_is_masked_images_labels_lists_and_a_manifest(cohort):
    images, labels = (
        (cohort / name).read_text(encoding="utf-8").splitlines() for name in ("img-list.txt", "seg-list.txt")
    )
    with open(cohort / "manifest.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["level"] for row in rows] == ["L1", "L2", "L1"]
    assert len({row["id"] for row in rows}) == 3 and len({row["person"] for row in rows}) == 2
    for image, label, row in zip(images, labels, rows, strict=True):
        assert image.startswith(row["id"]) and label.startswith(row["id"])
        image, label = nib.load(cohort / image), nib.load(cohort / label)
        assert image.shape == label.shape == (128, 128, 64)
        assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
        np.testing.assert_array_equal(image.affine, label.affine)
        np.testing.assert_allclose(image.affine @ [63.5, 63.5, 31.5, 1], [0, 0, 0, 1])
        assert label.get_data_dtype() == np.uint8
        values, inside = image.get_fdata(), label.get_fdata() > 0
        assert values.min() >= 0 and values.max() <= 1 and not values[~inside].any()
        assert 0.15 < values[inside].mean() < 0.6
        assert 20_000 < inside.sum() < 110_000


def test_its_manifest_is_that_of_any_cohort(cohort):
    samples = read_manifest(cohort / "manifest.csv")
    assert len(usable(samples)) == 3
    for sample in samples:
        inside = np.asarray(nib.load(sample.label).dataobj) > 0
        assert sample.volume_ml == pytest.approx(inside.sum() / 1000, abs=0.01)


@pytest.fixture(scope="module")
def small(real, tmp_path_factory):
    """A cohort in voxels of 4 mm, and the options that made it."""
    out = tmp_path_factory.mktemp("small") / "new"
    options = ["--count", 3, "--seed", 5, "--levels", "L1,L2", "--shapes", real / "list.csv", "--spacing", 4]
    assert generate(out, *options) == 0
    return out, options


def test_two_processes_make_the_same_cohort_as_one(small, tmp_path):
    folder, options = small
    assert generate(tmp_path, *options, "--processes", 2) == 0
    first, second = arrays(folder), arrays(tmp_path)
    assert len(first) == 6 and first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    assert (tmp_path / "manifest.csv").read_bytes() == (folder / "manifest.csv").read_bytes()


def test_a_second_run_makes_only_what_is_missing(small):
    folder, options = small
    before, manifest = arrays(folder), (folder / "manifest.csv").read_bytes()
    lost = sorted(folder.glob("*_seg.nii.gz"))[1]
    lost.unlink()
    for path in folder.glob("*.nii.gz"):
        os.utime(path, (1, 1))
    assert generate(folder, *options) == 0
    fresh = {path.name for path in folder.glob("*.nii.gz") if path.stat().st_mtime > 1}
    assert fresh == {lost.name, lost.name.replace("_seg", "_ct")}
    after = arrays(folder)
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])
    assert (folder / "manifest.csv").read_bytes() == manifest
    assert not list(folder.glob(".*"))  # nothing half-written is left


def test_another_cohort_does_not_mix_into_the_folder(small, capsys):
    folder, options = small
    assert generate(folder, *options[:3], 6, *options[4:]) == 2
    assert "generate.json: this folder was made with another seed" in capsys.readouterr().err


def test_parts_of_the_phantom_and_of_shapes_whose_parts_are_known(real, tmp_path):
    """ann's L1 has a map of parts, a front and a back; ben's, and the blends that begin with his, do not."""
    label = nib.load(real / "ann_L1.nii.gz")
    data = np.asarray(label.dataobj)
    front = nib.affines.apply_affine(label.affine, np.moveaxis(np.indices(data.shape), 0, -1))[..., 1] > 66
    parts = np.where(data > 0, np.where(front, 50, 41), 0).astype(np.uint8)
    nib.save(nib.Nifti1Image(parts, label.affine), real / "ann_L1_parts.nii.gz")
    lines = (real / "list.csv").read_text().splitlines()[1:]
    ends = ["ann_L1_parts.nii.gz" if line.startswith("ann_L1") else "" for line in lines]
    lines = [f"{line},{end}" for line, end in zip(lines, ends, strict=True)]
    (real / "parts.csv").write_text("\n".join([HEADER.strip() + ",parts", *lines]) + "\n")

    options = ("--count", 6, "--seed", 5, "--levels", "L1", "--shapes", real / "parts.csv", "--spacing", 2, "--parts")
    assert generate(tmp_path / "c", *options, "--phantom-fraction", 0.3) == 0
    samples = read_manifest(tmp_path / "c" / "manifest.csv")
    names = (tmp_path / "c" / "part-list.txt").read_text().split()
    assert [Path(sample.parts).name if sample.parts else "-" for sample in samples] == names
    known = {sample.source.split(":")[0]: bool(sample.parts) for sample in samples}
    assert known == {"phantom": True, "ann": True, "ben": False}
    for sample in samples:
        if not sample.parts:
            continue
        own, mask = (np.asarray(nib.load(path).dataobj) for path in (sample.parts, sample.label))
        assert ((own > 0) == (mask > 0)).all()
        if sample.source == "phantom":
            assert set(np.unique(own)) == {0, *range(41, 49), 50}
            continue
        assert set(np.unique(own)) == {0, 41, 50}
        middles = [np.argwhere(own == number).mean(axis=0)[1] for number in (41, 50)]
        assert middles[1] > middles[0] + 5
    # Without --parts the same vertebrae, and no map.
    assert generate(tmp_path / "plain", *options[:-1], "--phantom-fraction", 0.3) == 0
    plain, with_parts = arrays(tmp_path / "plain"), arrays(tmp_path / "c")
    assert set(plain) == {name for name in with_parts if "_parts" not in name}
    for name, volume in plain.items():
        np.testing.assert_array_equal(volume, with_parts[name])


def test_a_coarser_cohort_is_of_the_same_size(real, tmp_path):
    options = ["--count", 2, "--seed", 5, "--levels", "L1,L2", "--shapes", real / "list.csv", "--spacing", 2]
    assert generate(tmp_path, *options) == 0
    for sample in read_manifest(tmp_path / "manifest.csv"):
        label = nib.load(sample.label)
        assert label.shape == (64, 64, 32) and label.header.get_zooms() == (2, 2, 2)
        assert sample.volume_ml == pytest.approx((label.get_fdata() > 0).sum() * 8 / 1000, abs=0.01)
        assert 25 < sample.volume_ml < 90 and sample.whole == "yes"
        np.testing.assert_allclose(label.affine @ [31.5, 31.5, 15.5, 1], [0, 0, 0, 1])
    assert generate(tmp_path, *options[:-2]) == 2


def test_a_split_is_written_beside_the_manifest(tmp_path, capsys):
    options = ["--count", 8, "--levels", "L1,L2", "--spacing", 4, "--split", "person", "--test-per-level", 2]
    assert generate(tmp_path, *options) == 0
    split = read_split(tmp_path / "split-person.json")
    assert len(split.test) == len(split.train) == 4 and not {s.person for s in split.test} & {
        s.person for s in split.train
    }
    assert "test-pairs-person.csv: 4 ordered pairs" in capsys.readouterr().out
    assert generate(tmp_path, *options[:-1], 4) == 2
    assert "level L1: 4 people, but 4 are to be held out" in capsys.readouterr().err


def test_a_spacing_that_does_not_divide_the_box_is_refused():
    with pytest.raises(InputError, match="spacing 3: must be one of 1, 2, 4 mm"):
        CohortGenerator(0, spacing=3)


def test_a_split_that_no_cohort_allows_is_refused_first(tmp_path, capsys):
    assert generate(tmp_path / "out", "--count", 4, "--split", "person", "--val-per-level", 1) == 2
    assert "--val-per-level 1: must be 0" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_as_is_gives_every_shape_once_and_unvaried(real, tmp_path):
    (tmp_path / "two.csv").write_text(HEADER + f"{real / 'ben_L1.nii.gz'},label,20,L1,ben,\n")
    assert generate(tmp_path / "out", "--as-is", "--shapes", tmp_path / "two.csv") == 0
    expected = shapes.load_label(real / "ben_L1.nii.gz", 20) <= 0
    np.testing.assert_array_equal(arrays(tmp_path / "out")["ben-L1_seg.nii.gz"], expected)
    assert (tmp_path / "out" / "img-list.txt").read_text(encoding="utf-8") == "ben-L1_ct.nii.gz\n"
    row = f"{real / 'ben_L1.nii.gz'},label,20,L1,ben,\n"
    (tmp_path / "two.csv").write_text(HEADER + row + row.replace("ben_L1", "ann_L1"))
    assert generate(tmp_path / "both", "--as-is", "--shapes", tmp_path / "two.csv") == 0
    assert (tmp_path / "both" / "img-list.txt").read_text() == "ben-L1_ct.nii.gz\nben-L1-2_ct.nii.gz\n"


def test_plans_are_balanced_and_blend_people_of_the_same_or_the_next_level(real):
    generator = CohortGenerator(0, ["L1", "L2"], read_sources(real / "list.csv"), phantom_fraction=0.25)
    records = [generator.describe(index) for index in range(400)]
    made = [record.source for record in records]
    assert sum(record.level == "L1" for record in records) == 200
    assert 70 < made.count("phantom") < 130
    assert {name for name in made if "+" not in name} == {"phantom"} | {
        f"{person}:{level}" for person in ("ann", "ben") for level in ("L1", "L2")
    }
    for record in records:
        if " + " in record.source:
            first, second = record.source.split(" + ")
            assert first.endswith(record.level)
            assert first.split(":")[0] != second.split()[1].split(":")[0]
            assert 0.1 <= float(second.split()[0]) <= 0.9


@pytest.mark.parametrize(
    "row, message",
    [
        ("a.nii.gz,label,1,L1,ann,", "line 2: .* is not there"),
        ("list.csv,picture,1,L1,ann,", "kind must be"),
        ("list.csv,label,1,T12,ann,", "level must be"),
        ("list.csv,label,1,L1,,", "person is empty"),
        ("list.csv,label,one,L1,ann,", "label must be a whole number"),
        ("list.csv,mesh,,L1,ann,", "axes are given"),
        ("list.csv,label,1,L1,ann,LPS", "axes are given"),
        ("list.csv", "kind must be"),
        ("list.csv,mesh,,L1,ann,LPS,list.csv", "parts are given for a label map"),
        ("list.csv,label,1,L1,ann,,gone.nii.gz", "line 2: .*gone.nii.gz is not there"),
    ],
)
def test_a_bad_line_of_the_list_is_named(tmp_path, row, message):
    (tmp_path / "list.csv").write_text(HEADER.strip() + ",parts\n" + row + "\n")
    with pytest.raises(InputError, match=message):
        read_sources(tmp_path / "list.csv")


def test_a_list_without_its_names_or_its_lines_is_refused(tmp_path):
    for text, fault in (
        ("", "lacks the column path"),
        (HEADER, "no shape"),
        ("path,level\nx,L1\n", "lacks the column kind"),
    ):
        (tmp_path / "list.csv").write_text(text)
        with pytest.raises(InputError, match=f"list.csv: .*{fault}"):
            read_sources(tmp_path / "list.csv")


@pytest.mark.parametrize(
    "options, message",
    [
        (["--count", 0], "count 0"),
        (["--count", 1, "--levels", "L1,L7"], "levels L7"),
        (["--count", 1, "--phantom-fraction", 1.5], "phantom-fraction 1.5"),
        (["--count", 1, "--seed", -1], "--seed -1"),
        (["--count", 1, "--processes", 0], "--processes 0"),
        (["--count", 1, "--shapes", "nowhere.csv"], "nowhere.csv"),
        (["--as-is"], "--as-is"),
        (["--count", 1, "--spacing", 3], "--spacing"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line_and_exit_code_2(tmp_path, capsys, options, message):
    assert generate(tmp_path / "out", *options) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


def test_a_broken_shape_is_named_before_anything_is_made(real, tmp_path, capsys):
    np.savez(tmp_path / "bad.npz", points=np.zeros(3))
    (tmp_path / "list.csv").write_text(HEADER + "bad.npz,mesh,,L1,ann,LPS\n")
    assert generate(tmp_path / "out", "--count", 1, "--levels", "L1", "--shapes", tmp_path / "list.csv") == 2
    assert "bad.npz: not an .npz file with vertices and faces" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*.nii.gz"))


@pytest.mark.skipif(not SHARED.exists(), reason="the real shapes are not here")
def test_real_shapes_are_varied_and_blended(tmp_path):
    rows = [
        f"{SHARED / 'spines' / 'sub-verse005_L3_seg.nii.gz'},label,1,L3,sub-verse005,",
        f"{SHARED / 'meshes' / 'visible-human_L3.npz'},mesh,,L3,visible-human,ALS",
    ]
    (tmp_path / "list.csv").write_text(HEADER + "\n".join(rows) + "\n")
    generator = CohortGenerator(0, ["L3"], read_sources(tmp_path / "list.csv"), blend_fraction=1.0)
    image, label = generator.make(0)
    widths = [np.ptp(np.argwhere(source.load() <= 0), axis=0)[0] for source in generator.sources["L3"]]
    assert 0.75 * min(widths) < np.ptp(np.argwhere(label), axis=0)[0] < 1.25 * max(widths)  # no process is lost
    assert image.shape == (128, 128, 64) and 0 < image[label > 0].mean() < 1
