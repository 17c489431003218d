"""Methods on a list of pairs: the rows, what a second run does, and what is refused."""

import csv

import numpy as np
import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation import KEY, NUMBERS, evaluate
from tests.evaluation.cases import CubeMethod, pair

PAIRS = [pair("a", "b"), pair("b", "a"), pair("b", "c", "L4")]


def table_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_row_a_pair_and_a_reason_for_a_failure(tmp_path):
    finished = []
    failing = CubeMethod("failing", fails_on="a")
    rows = evaluate([CubeMethod(), failing], PAIRS, tmp_path / "out.csv", progress=finished.append)
    assert finished == rows
    assert [row["method"] for row in rows] == ["cubes"] * 3 + ["failing"] * 3
    assert [row["fault"] for row in rows] == ["", "", "", "a: first line\nlast line", "", ""]
    assert rows[0]["dice_before"] == 0.6 and rows[0]["notes"] == "a note; another"
    saved = table_of(tmp_path / "out.csv")
    assert [row["made_by"] for row in saved] == ["cubes 1"] * 6
    assert float(saved[2]["hd95_mm_affine"]) == 4 and saved[2]["level"] == "L4"
    assert not any(saved[3][name] for name in NUMBERS)


def test_a_failure_that_is_not_the_users_is_a_row_too(tmp_path):
    (row, *_) = evaluate([CubeMethod(fails_on="a", error=RuntimeError)], PAIRS, tmp_path / "out.csv")
    assert row["fault"] == "RuntimeError: last line"


def test_a_second_run_does_what_is_missing_and_what_failed(tmp_path):
    out = tmp_path / "out.csv"
    evaluate([CubeMethod(fails_on="b")], [PAIRS[2], PAIRS[0]], out)
    text = out.read_text(encoding="utf-8").replace(",0.6,", ",0.25,", 1)  # to see that it is not measured again
    out.write_text(text, encoding="utf-8")
    method = CubeMethod()
    rows = evaluate([method], PAIRS, out)
    assert method.runs == [PAIRS[1], PAIRS[2]]
    assert [row["dice_before"] for row in rows] == [0.25, 0.6, 0.6]
    assert [row["fixed"] for row in table_of(out)] == [pair["fixed"] for pair in PAIRS]
    before = out.stat().st_mtime_ns
    evaluate([method], PAIRS, out)
    assert len(method.runs) == 2 and out.stat().st_mtime_ns == before


def test_a_column_that_the_user_adds_stays(tmp_path):
    out = tmp_path / "out.csv"
    evaluate([CubeMethod()], PAIRS[:1], out)
    head, line = out.read_text(encoding="utf-8").splitlines()
    out.write_text(f"{head},remark\n{line},odd\n", encoding="utf-8")
    evaluate([CubeMethod()], PAIRS[:2], out)
    assert [row["remark"] for row in table_of(out)] == ["odd", ""]


def test_ctrl_c_keeps_what_is_finished(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        evaluate([CubeMethod(fails_on="b", error=KeyboardInterrupt)], PAIRS, tmp_path / "out.csv")
    assert [row["fixed"] for row in table_of(tmp_path / "out.csv")] == ["a"]


def test_rows_of_other_methods_stay(tmp_path):
    out = tmp_path / "out.csv"
    evaluate([CubeMethod("first", version="1")], PAIRS[:1], out)
    rows = evaluate([CubeMethod("second", version="2")], PAIRS[:1], out)
    assert [row["method"] for row in rows] == ["second"]
    assert [(row["method"], row["made_by"]) for row in table_of(out)] == [("second", "cubes 2"), ("first", "cubes 1")]


def test_rows_of_another_version_are_not_mixed_in(tmp_path):
    out = tmp_path / "out.csv"
    evaluate([CubeMethod()], PAIRS[:1], out)
    with pytest.raises(InputError, match="out.csv: .*made by cubes 1, not cubes 2"):
        evaluate([CubeMethod(version="2")], PAIRS, out)


def test_what_cannot_be_measured_is_refused_before_any_work(tmp_path):
    with pytest.raises(InputError, match="not all different"):
        evaluate([CubeMethod(), CubeMethod()], PAIRS, tmp_path / "new.csv")
    with pytest.raises(InputError, match="broken"):
        evaluate([CubeMethod(version="broken")], PAIRS, tmp_path / "new.csv")
    assert not (tmp_path / "new.csv").exists()
    (tmp_path / "list.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="list.csv: .*not a table of this command"):
        evaluate([CubeMethod()], PAIRS, tmp_path / "list.csv")


def test_worker_processes_return_the_same_rows(tmp_path):
    methods = [CubeMethod(fails_on="a")]
    one, two = (evaluate(methods, PAIRS, tmp_path / f"{n}.csv", processes=n) for n in (1, 2))
    for name in (*KEY, *NUMBERS, "notes", "fault", "made_by"):
        for ours, theirs in zip(one, two, strict=True):
            assert ours[name] == theirs[name] or (np.isnan(ours[name]) and np.isnan(theirs[name]))
