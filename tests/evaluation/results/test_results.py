"""The results page: what is measured, that it goes on where it stopped, and what the page and the README say."""

import json
import shutil
from dataclasses import dataclass, replace

import pytest

from acsgreg_tf.cli.results import main
from acsgreg_tf.cohort.test_set import build_set
from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation.results import Plan, measure_all, provenance, results_page, short_section
from acsgreg_tf.evaluation.results.people_check import check_people
from acsgreg_tf.evaluation.results.run import DEFAULT, NETWORK_ALONE, REFINED, drawn
from acsgreg_tf.evaluation.results.stages import stage_table
from tests.cohort.test_test_set import add_scan
from tests.evaluation.cases import CubeMethod, cube, cube_outcome


@dataclass(frozen=True)
class StageMethod(CubeMethod):
    """Cubes that the network's own affine leaves 3 voxels apart; the refined ones lie on each other."""

    left: int = 0

    def run(self, pair):
        super().run(pair)
        outcome = cube_outcome()
        labels = {**outcome.labels, "network_affine": cube(3), "deformable": cube(self.left)}
        return replace(outcome, labels=labels)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two test people with a CT, one without; a training person with parts."""
    folder = tmp_path_factory.mktemp("data")
    for name, options in {"ann": {"parts": True}, "ben": {}, "cat": {"ct": False}, "dan": {"parts": True}}.items():
        add_scan(folder, name, 22, **options)
    lines = [
        f"{name},{'train' if name == 'dan' else 'test'},yes (1 mm),L3,{name}_*" for name in ("ann", "ben", "cat", "dan")
    ]
    (folder / "people.csv").write_text("\n".join(["person,side,ct,levels,files", *lines]))
    return folder


@pytest.fixture(scope="module")
def prepared(data, tmp_path_factory):
    """A work folder in which the sets are built and the people compared."""
    out = tmp_path_factory.mktemp("prepared")
    build_set(data, out / "test_set")
    build_set(data, out / "both_sides", ("test", "train"))
    with pytest.raises(InputError, match="are one person"):  # which the tests of other things pass over
        check_people(str(data), None, out, 1)
    return out


@pytest.fixture
def work(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "work")


@pytest.fixture
def methods(monkeypatch):
    """What a plan measures, replaced; and everybody counted as another person."""
    three = (StageMethod(DEFAULT, left=1), StageMethod(NETWORK_ALONE, left=2), StageMethod(REFINED))
    monkeypatch.setattr(Plan, "networks", lambda plan: three)
    monkeypatch.setattr("acsgreg_tf.evaluation.results.people_check.SAME_PERSON_MM", 0.0)
    return three


def test_real_pairs_are_all_drawn_and_a_part_of_the_others():
    pairs = [
        {"fixed": f"/x/{i}", "moving": f"/y/{i}", "level": f"L{1 + i % 2}", "kind": "real" if i < 4 else "simulated"}
        for i in range(44)
    ]
    some, more = drawn(pairs, 0.25), drawn(pairs, 0.5)
    assert drawn(pairs, 0) == pairs[:4] and drawn(pairs, 1) == pairs
    assert len(some) == 14 and sum(pair["level"] == "L1" for pair in some) == 7
    assert all(pair in more for pair in some)
    moved = [pair | {"fixed": pair["fixed"].replace("/x", "/elsewhere")} for pair in pairs]
    assert [pair["moving"] for pair in drawn(moved, 0.25)] == [pair["moving"] for pair in some]


def test_a_run_that_was_stopped_goes_on(data, work, methods):
    default, alone, refined = methods
    plan = Plan(str(data), str(work), steps=5)

    def stop(step, row):
        if row is not None and len(default.runs) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_all(plan, stop)
    measured = measure_all(plan)
    # Six ordered pairs and two with parts by default; two real ones and the two with parts otherwise.
    assert len(default.runs) == 6 + 2 and len(alone.runs) == len(refined.runs) == 2 + 2
    again = measure_all(plan)
    assert (
        len(default.runs) == 8 and len(again.rows) == len(measured.rows) == 6 + 2 * 2 and len(again.part_rows) == 3 * 2
    )
    assert {row["kind"] for row in again.rows} == {"real", "simulated"}


def test_costs_are_measured_where_they_are_asked_for(data, prepared, tmp_path, monkeypatch, methods):
    alone = []
    monkeypatch.setattr("acsgreg_tf.evaluation.results.run.isolated", lambda given: alone.extend(given) or list(given))
    plain, costs = (shutil.copytree(prepared, tmp_path / name) for name in ("plain", "costs"))
    measure_all(Plan(str(data), str(plain), steps=0))
    assert not alone
    measure_all(Plan(str(data), str(costs), steps=0, costs=True))
    assert set(method.name for method in alone) == {DEFAULT, NETWORK_ALONE, REFINED}


def test_the_page_tells_what_did_what(data, work, methods):
    measured = measure_all(Plan(str(data), str(work), steps=5, part=0.5))
    lines = stage_table(measured.rows, "real").splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == [
        "centres laid on each other (2)",
        "AffineNet's own affine (2)",
        "affine fitted to the surfaces (2)",
        "network alone (2)",
        "default (2)",
        "refined (2)",
    ]
    dice = [line.split(" | ")[3].split(" / ")[0] for line in lines[2:]]  # of L3
    assert dice == ["0.600", "0.700", "0.800", "0.800", "0.900", "1.000"]
    half = [line.split(" | ")[0].strip("| ") for line in stage_table(measured.rows, "simulated").splitlines()[-2:]]
    assert half == ["default, on the pairs that are refined (2)", "refined (2)"]
    page = results_page(measured, "make results", "picture.png")
    assert "So far" not in page and "ann's CT: 1 mm." in page and "cat's CT" not in page
    assert "**So far 5 of 6 pairs" in results_page(replace(measured, rows=measured.rows[1:]), "make", "picture.png")
    for words in (
        "Pairs of two real CTs",
        "50 % of the simulated",
        "| ann | – | – | real |",
        "| cat | – | – | simulated |",
        "| refined − default | Dice Final | 2 | 2 | +0.100 | +0.100 to +0.100 |",
    ):
        assert words in page, words
    assert "Only ann is a test person" in page and provenance()["commit"] in page
    busy, idle = (replace(measured, sessions=[{**provenance(), "load": load}]) for load in ("7.2", "0.3"))
    assert "load up to 7" in short_section(busy, "page.md") and "load" not in short_section(idle, "page.md")
    together = replace(measured, sessions=[{**provenance(), "load": "0.3", "processes": "2"}])
    assert "2 pairs were registered at a time" in short_section(together, "page.md")
    section = short_section(measured, "page.md")
    assert "at a time" not in section
    assert "ann, ben, cat" in section and "| real, default | 2 | 0.900 / " in section and "(L3)" in section


def test_one_person_on_both_sides_is_refused(data, work, monkeypatch):
    monkeypatch.setattr(Plan, "networks", lambda plan: ())
    with pytest.raises(InputError, match=r"(ann|ben|cat) \(test\) and dan \(train\) are one person"):
        measure_all(Plan(str(data), str(work)))


def test_the_command_writes_page_picture_and_the_readmes_section(data, work, tmp_path, methods, capsys):
    docs = tmp_path / "checkout"
    for folder in ("docs/images", "acsgreg_tf/report"):
        (docs / folder).mkdir(parents=True)
    options = ["--data", str(data), "--out", str(work), "--docs", str(docs), "--refine", "5"]
    (docs / "README.md").write_text("before\n", encoding="utf-8")
    assert main(options) == 2 and "lacks the lines" in capsys.readouterr().err
    (docs / "README.md").write_text("before\n<!-- results -->\n1999\n<!-- /results -->\nafter\n")
    assert main(options) == 0
    readme = (docs / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("before\n<!-- results -->\n| Dice") and readme.endswith("<!-- /results -->\nafter\n")
    assert "1999" not in readme and (docs / "docs/images/results.png").stat().st_size > 10_000
    assert (docs / "docs/results.md").read_text(encoding="utf-8") == (work / "results.md").read_text(encoding="utf-8")
    usual = json.loads((docs / "acsgreg_tf/report/usual.json").read_text(encoding="utf-8"))
    assert usual["pairs"] == 2 and set(usual["stages"]) == {"before", "affine", NETWORK_ALONE, DEFAULT, REFINED}
    assert usual["stages"]["default"]["dice"]["mean"] == 0.9
    assert f"{usual['stages']['affine']['assd_mm']['mean']:.3f}" in (docs / "docs/results.md").read_text("utf-8")
    (docs / "docs/results.md").unlink()
    runs = len(methods[0].runs)
    assert main([*options, "--so-far"]) == 0 and len(methods[0].runs) == runs
    assert (docs / "docs/results.md").read_text(encoding="utf-8") == (work / "results.md").read_text(encoding="utf-8")
    assert main([*options, "--again"]) == 0 and len(methods[0].runs) == 2 * runs
    assert (work / "rows.csv.before").is_file()


@pytest.mark.parametrize(
    "more, words",
    [
        (["--part", "2"], "--part 2"),
        (["--costs", "--processes", "2"], "--costs: goes with one process"),
        (["--methods", "no"], "method 'no'"),
        (["--so-far"], "nothing is measured there"),
    ],
)
def test_faults_are_one_line(data, tmp_path, capsys, more, words):
    assert main(["--data", str(data), "--out", str(tmp_path), *more]) == 2
    assert words in capsys.readouterr().err
