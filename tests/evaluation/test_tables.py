"""Means by level, and tables of them."""

import numpy as np
import pytest

from acsgreg_tf.evaluation import ANATOMY, NUMBERS, by_kind, summarise, tables


def row_of(method, level, dice, fault=""):
    numbers = dict.fromkeys(NUMBERS, 1.0) | dict.fromkeys(ANATOMY, np.nan) | {"dice_deformable": dice}
    return {"method": method, "level": level, "fault": fault} | ({} if fault else numbers)


def test_means_and_spread_by_level():
    rows = [
        row_of("net", "L2", 0.5),
        row_of("net", "L1", 0.8),
        row_of("net", "L1", 0.6),
        row_of("net", "L1", 0, "gone"),
    ]
    summary = summarise(rows)
    assert list(summary["net"]) == ["L1", "L2", "all"]
    assert summary["net"]["L1"]["pairs"] == 2 and summary["net"]["L1"]["failed"] == 1
    assert summary["net"]["L1"]["dice_deformable"] == pytest.approx(
        {"mean": 0.7, "std": np.std([0.8, 0.6], ddof=1), "worst": 0.6}
    )
    assert np.isnan(summary["net"]["L2"]["dice_deformable"]["std"])
    assert summary["net"]["all"]["dice_deformable"]["mean"] == pytest.approx(19 / 30)


def test_the_worst_tenth_is_low_overlap_and_large_distance():
    rows = [row_of("net", "L1", i / 100) | {"assd_mm_deformable": float(i)} for i in range(40)]
    numbers = summarise(rows)["net"]["all"]
    assert numbers["dice_deformable"]["worst"] == pytest.approx(0.015)  # 0.00 to 0.03
    assert numbers["assd_mm_deformable"]["worst"] == pytest.approx(37.5)  # 36 to 39
    assert np.isnan(summarise([rows[0] | {"seconds": np.nan}])["net"]["all"]["seconds"]["worst"])


def test_parts_are_averaged_over_the_pairs_that_have_them():
    with_parts, without = row_of("net", "L1", 0.8) | {"dice_parts": 0.5}, row_of("net", "L1", 0.8)
    assert summarise([with_parts, without])["net"]["all"]["dice_parts"]["mean"] == 0.5
    assert "### Anatomy" in tables(summarise([with_parts])) and "### Anatomy" not in tables(summarise([without]))


def test_kinds_are_told_apart():
    rows = [row_of("net", "L1", 0.8) | {"kind": kind} for kind in ("simulated", "real", "simulated")]
    assert {kind: len(part) for kind, part in by_kind(rows).items()} == {"simulated": 2, "real": 1}
    assert list(by_kind([row_of("net", "L1", 0.8)])) == [""]


def test_tables_of_one_and_of_several_methods():
    rows = [
        row_of("net", "L1", 0.8),
        row_of("net", "L1", 0.6),
        row_of("tool", "L1", 0.5),
        row_of("tool", "L1", 0, "gone"),
    ]
    rows[2]["inverse_error_mm"] = float("nan")
    rows[0]["hd95_mm_deformable"] = np.inf
    text = tables(summarise(rows))
    one, two, both = text.split("### ")[1:]
    assert "| L1 | 2 |" in one and "0.700 ± 0.141" in one and "| inf |" in one
    assert "| L1 | 1 (1 failed) |" in two
    last = both.strip().splitlines()[-1].split(" | ")
    heads = both.strip().splitlines()[2].split(" | ")
    assert last[0] == "| tool" and last[4] == "0.500" and last[heads.index("inverse error mm")] == "–"
    lengths = {line.count("|") for line in both.strip().splitlines()[2:]}
    assert len(lengths) == 1
    assert "### Methods" not in tables(summarise(rows[:2]))


def test_costs_have_columns_where_they_were_measured():
    costs = {"seconds_cold": np.nan, "memory_mb": np.nan}
    rows = [row_of(name, "L1", 0.8) | costs for name in ("net", "tool")]
    assert not {"seconds cold", "memory MB"} & set(tables(summarise(rows)).split(" | "))
    rows[1] |= {"seconds_cold": 8.25, "memory_mb": 2000.0}
    shown = [line.split(" | ") for line in tables(summarise(rows)).splitlines()]
    heads, net, tool = shown[-4], shown[-2], shown[-1]
    assert net[heads.index("seconds cold")] == "–" and tool[heads.index("seconds cold")] == "8.2"
    assert "memory MB" in heads[-1] and tool[-1].startswith("2000")
