"""Manifests, splits and pairs: the paper's counts, people on one side of a split only, and round trips of the files."""

import csv
import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsgreg_tf import evaluation
from acsgreg_tf.cohort.manifest import COLUMNS, Sample, read_manifest, usable, write_manifest
from acsgreg_tf.cohort.pairs import mixed_pairs, ordered_pairs, write_pairs
from acsgreg_tf.cohort.split import make_split, read_split, write_split
from acsgreg_tf.errors import InputError
from tests.explore import examples

# Section 3.1: vertebrae at each level, of 61 scans.
PAPER = {"L1": 58, "L2": 60, "L3": 61, "L4": 61, "L5": 60}


def cohort(counts, folder="c"):
    """`counts[level]` people at each level: p000 and on, so that the first ones have all levels."""
    return [
        Sample(
            f"p{n:03d}", level, *(f"{folder}/p{n:03d}-{level}{end}.nii.gz" for end in ("", "_seg")), "made", 50.0, "yes"
        )
        for level, count in counts.items()
        for n in range(count)
    ]


def on_disk(samples):
    for name in (name for s in samples for name in (s.image, s.label) if name):
        with open(name, "w"):
            pass


def levels_of(pairs):
    return Counter(fixed.level for fixed, _ in pairs)


def test_the_papers_counts():
    split = make_split(cohort(PAPER))
    assert Counter(s.level for s in split.train) == {"L1": 48, "L2": 50, "L3": 51, "L4": 51, "L5": 50}
    assert levels_of(ordered_pairs(split.train)) == {"L1": 2256, "L2": 2450, "L3": 2550, "L4": 2550, "L5": 2450}
    assert levels_of(ordered_pairs(split.test)) == dict.fromkeys(PAPER, 90)
    assert len(mixed_pairs(split.train)) == 2500


def test_ordered_pairs_are_of_two_people_at_one_level():
    samples = cohort({"L1": 3, "L2": 2})
    result = ordered_pairs(samples)
    assert len(set(result)) == len(result) == 3 * 2 + 2
    assert all(f.level == m.level and f.person != m.person for f, m in result)
    twice = [*samples, Sample("p000", "L1", "c/again.nii.gz", "c/again_seg.nii.gz")]
    assert len(ordered_pairs(twice)) == 4 * 3 - 2 + 2, "two scans of one person are no pair"


def test_mixed_pairs_take_each_sample_ten_times_as_fixed():
    samples = cohort({"L1": 15, "L2": 12, "L3": 4})
    result = mixed_pairs(samples, seed=3)
    assert Counter(f.image for f, _ in result) == {s.image: 3 if s.level == "L3" else 10 for s in samples}
    assert len(set(result)) == len(result)
    assert all(f.level == m.level and f.person != m.person for f, m in result)
    assert result == mixed_pairs(samples[::-1], seed=3), "the order of the manifest does not matter"
    assert result != mixed_pairs(samples, seed=4)
    # A level's pairs do not change with the other levels.
    assert [p for p in result if p[0].level == "L2"] == mixed_pairs([s for s in samples if s.level == "L2"], seed=3)


def test_a_split_by_level_draws_each_level_by_itself():
    samples = cohort(dict.fromkeys(PAPER, 30))
    split = make_split(samples, seed=1)
    tested = {level: {s.person for s in split.test if s.level == level} for level in PAPER}
    assert len({frozenset(people) for people in tested.values()}) == 5
    assert not split.left_out and not split.val
    alone = make_split([s for s in samples if s.level == "L4"], seed=1)
    assert {s.person for s in alone.test} == tested["L4"]


def test_a_split_by_person_keeps_a_persons_levels_on_one_side():
    split = make_split(cohort(PAPER), by="person", val_per_level=4, seed=2)
    people = {part: {s.person for s in getattr(split, part)} for part in ("train", "val", "test")}
    assert not people["train"] & (people["val"] | people["test"]) and not people["val"] & people["test"]
    assert Counter(s.level for s in split.test) == dict.fromkeys(PAPER, 10)
    assert Counter(s.level for s in split.val) == dict.fromkeys(PAPER, 4)


@examples(60)
@given(
    has=st.lists(st.sets(st.sampled_from(["L1", "L2", "L3"]), min_size=1), min_size=6, max_size=25),
    by=st.sampled_from(["level", "person"]),
    seed=st.integers(0, 1000),
    twice=st.booleans(),
)
def test_any_split_holds_every_sample_once_and_the_numbers_asked_for(has, by, seed, twice):
    samples = [Sample(f"p{n}", level, f"{n}{level}", "x") for n, levels in enumerate(has) for level in sorted(levels)]
    samples += [Sample(s.person, s.level, s.image + "b", "x") for s in samples[:2]] if twice else []
    try:
        split = make_split(samples, by=by, test_per_level=2, seed=seed)
    except InputError as error:
        assert str(error).startswith("level L")
        return
    parts = (split.train, split.val, split.test, split.left_out)
    assert sorted(s.image for part in parts for s in part) == sorted(s.image for s in samples)
    assert Counter(s.level for s in split.test) == {level: 2 for level in {s.level for s in samples}}
    held = {(s.person, "" if by == "person" else s.level) for s in split.test}
    assert not held & {(s.person, "" if by == "person" else s.level) for s in split.train}
    assert all(count >= 2 for count in Counter(s.level for s in split.train).values())
    assert make_split(samples, by=by, test_per_level=2, seed=seed) == split
    shuffled = make_split(samples[::-1], by=by, test_per_level=2, seed=seed)
    assert set(shuffled.test) == set(split.test)


def test_the_seed_decides():
    samples = cohort(PAPER)
    assert make_split(samples, seed=0) == make_split(samples, seed=0)
    assert make_split(samples, seed=0).test != make_split(samples, seed=1).test
    moved = make_split(cohort(PAPER, "elsewhere"), seed=0)
    assert [s.person for s in moved.test] == [s.person for s in make_split(samples, seed=0).test]


@pytest.mark.parametrize(
    "options, words",
    [
        ({"by": "side"}, "split 'side': must be one of level, person"),
        ({"test_per_level": 1}, "test_per_level 1: a pair needs two"),
        ({"val_per_level": 1}, "val_per_level 1"),
        ({"seed": -1}, "seed -1"),
        ({"test_per_level": 57}, "level L1: 58 people, but 57 are to be held out"),
    ],
)
def test_a_split_that_cannot_be_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        make_split(cohort(PAPER), **options)
    with pytest.raises(InputError, match="no samples"):
        make_split([])


def test_people_who_take_too_much_with_them_are_reported():
    """q fill L1 and t fill L3; whoever is then drawn for L2 leaves one of these without training samples."""
    has = {"q0": "1", "q1": "1", "t0": "3", "t1": "3", "p0": "12", "p1": "12", "r0": "23", "r1": "23"}
    samples = [Sample(name, f"L{n}", f"{name}-L{n}", "x") for name, levels in has.items() for n in levels]
    faults = []
    for seed in range(100):
        try:
            make_split(samples, by="person", test_per_level=2, seed=seed)
        except InputError as error:
            faults.append(str(error))
    assert 0 < len(faults) < 100
    assert all("its people cannot be split so (train " in text and "hold out fewer" in text for text in faults)


def test_a_manifest_comes_back_as_it_went(tmp_path):
    (tmp_path / "crops").mkdir()
    samples = cohort({"L1": 2, "L5": 1}, str(tmp_path / "crops"))
    samples += [
        Sample(
            "q",
            "L2",
            str(tmp_path / "q.nii.gz"),
            str(tmp_path / "q_s.nii.gz"),
            "a, b",
            61.25,
            "cut",
            "reaches\nthe edge",
        ),
        Sample("r", "", source="r.nii.gz", notes="r.nii.gz: no such file"),
    ]
    on_disk(samples)
    write_manifest(tmp_path / "manifest.csv", samples, [{"id": n} for n in range(5)])
    with open(tmp_path / "manifest.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [*COLUMNS, "id"]
    assert rows[0]["image"] == "crops/p000-L1.nii.gz" and rows[3]["volume_ml"] == "61.25"
    result = read_manifest(tmp_path / "manifest.csv")
    assert result[:3] == samples[:3] and result[3].notes == "reaches the edge" and result[4] == samples[4]
    assert [s.person for s in usable(result)] == ["p000", "p001", "p000"]
    assert [s.person for s in usable(result, cut=True)] == ["p000", "p001", "p000", "q"]


@pytest.mark.parametrize(
    "line, words",
    [
        ("p,L1,a.nii,,s,5,yes,", "line 3: a.nii has no label"),
        (",L1,a.nii,b.nii,s,5,yes,", "line 3: a.nii has no person"),
        ("p,L1,a.nii,b.nii,s,5,maybe,", "line 3: whole must be yes, cut or empty, not 'maybe'"),
        ("p,L1,a.nii,b.nii,s,-5,yes,", "line 3: volume_ml must be a positive number, not '-5'"),
        ("p,L1,a.nii,b.nii,s,nan,yes,", "line 3: volume_ml"),
        ("p,L1,a.nii,b.nii,s,five,yes,", "line 3: volume_ml"),
        ("p,L1,gone.nii,b.nii,s,5,yes,", "line 3: .*gone.nii is not there"),
        ("p,L1,b.nii,b.nii,s,5,yes,", "line 3: b.nii is named twice"),
    ],
)
def test_a_bad_line_of_a_manifest_is_named(tmp_path, line, words):
    for name in ("a.nii", "b.nii"):
        (tmp_path / name).touch()
    (tmp_path / "m.csv").write_text(",".join(COLUMNS) + "\nq,L1,b.nii,b.nii,s,,,\n" + line + "\n")
    with pytest.raises(InputError, match=words):
        read_manifest(tmp_path / "m.csv")


def test_what_is_no_manifest_is_refused(tmp_path):
    (tmp_path / "m.csv").write_text("id,person\n")
    with pytest.raises(
        InputError, match="m.csv: lacks the column level, image, label, source, volume_ml, whole, notes"
    ):
        read_manifest(tmp_path / "m.csv")
    with pytest.raises(InputError, match="gone.csv: no such file"):
        read_manifest(tmp_path / "gone.csv")


@pytest.fixture
def files(tmp_path):
    (tmp_path / "crops").mkdir()
    samples = cohort({"L1": 6, "L2": 5}, str(tmp_path / "crops"))
    on_disk(samples)
    write_manifest(tmp_path / "manifest.csv", samples)
    return samples, tmp_path


def test_a_split_comes_back_as_it_went_and_evaluation_reads_it(files):
    samples, folder = files
    split = make_split(samples, test_per_level=3, seed=5)
    (folder / "splits").mkdir()
    write_split(folder / "splits" / "s.json", split, folder / "manifest.csv")
    text = json.loads((folder / "splits" / "s.json").read_text())
    assert text["manifest"] == "../manifest.csv" and text["test"][0].startswith("crops/p00")
    result = read_split(folder / "splits" / "s.json", folder / "manifest.csv")
    assert result == split
    result = read_split(folder / "splits" / "s.json")
    assert [(s.person, s.level) for s in result.test] == [(s.person, s.level) for s in split.test]
    pairs = evaluation.split_pairs(folder / "splits" / "s.json")
    assert Counter(pair["level"] for pair in pairs) == {"L1": 6, "L2": 6}


def test_pairs_are_written_as_evaluation_reads_them(files):
    samples, folder = files
    pairs = ordered_pairs(samples)
    write_pairs(folder / "pairs.csv", pairs)
    result = evaluation.read_pairs(folder / "pairs.csv")
    assert [(p["fixed"], p["moving_seg"], p["level"]) for p in result] == [
        (f.image, m.label, f.level) for f, m in pairs
    ]
    assert "crops/p000-L1.nii.gz,crops/p000-L1_seg.nii.gz" in (folder / "pairs.csv").read_text()


def test_a_bad_split_file_is_refused(files):
    samples, folder = files
    path = folder / "s.json"
    write_split(path, make_split(samples, test_per_level=2), folder / "manifest.csv")
    good = json.loads(path.read_text())
    changes = [
        ({"test": ["crops/gone.nii.gz"]}, "names crops/gone.nii.gz, which .* does not hold"),
        ({"val": good["test"][:1]}, "twice"),
        ({"train": None}, "cannot be read as a split"),
        ({"manifest": "gone.csv"}, "gone.csv: no such file"),
    ]
    for change, words in changes:
        path.write_text(json.dumps(good | change))
        with pytest.raises(InputError, match=words):
            read_split(path)
    path.write_text("[1")
    with pytest.raises(InputError, match="s.json: cannot be read as a split"):
        read_split(path)
