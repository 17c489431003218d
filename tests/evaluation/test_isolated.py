"""Methods in processes of their own: what they return, what they cost, and what happens when one dies."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation import RegisterMethod, evaluate, isolated
from tests.evaluation.cases import CubeMethod, cube_outcome, pair
from tests.registration.cases import grid_about, save, save_network, scan

PAIRS = [pair("a", "b"), pair("a", "c")]


@dataclass(frozen=True)
class HungryMethod(CubeMethod):
    """Takes `megabytes` of memory for as long as it registers, `of_child` of them in a process that it starts."""

    megabytes: int = 0
    of_child: int = 0

    def run(self, pair):
        assert pair["level"] != "L9" or os._exit(3)
        memory = np.ones(self.megabytes * 2**17)
        if self.of_child:
            subprocess.run([sys.executable, "-c", f"x = b'1' * {self.of_child * 2**20}; import time; time.sleep(0.5)"])
        time.sleep(0.3)
        return cube_outcome(seconds=float(len(memory)), notes=(str(os.getpid()),))


def test_an_outcome_is_the_methods_with_its_costs(tmp_path):
    methods = isolated([HungryMethod("one"), HungryMethod("two")])
    first, second, other, _ = evaluate(methods, PAIRS, tmp_path / "out.csv")
    assert first["dice_deformable"] == 1 and first["fault"] == "" and first["made_by"].startswith("cubes 1, ")
    assert first["notes"] == second["notes"] and len({first["notes"], other["notes"], str(os.getpid())}) == 3
    # Of the cold time the registration is 0.3 s; the rest is the start of a process and its imports.
    assert first["seconds_cold"] == second["seconds_cold"] > 0.5 and other["seconds_cold"] != first["seconds_cold"]


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is read from /proc")
def test_memory_is_that_of_the_process_and_its_children(tmp_path):
    methods = [HungryMethod("none"), HungryMethod("own", megabytes=300), HungryMethod("child", of_child=300)]
    none, own, child = (row["memory_mb"] for row in evaluate(isolated(methods), PAIRS[:1], tmp_path / "out.csv"))
    assert 20 < none < 2000
    assert own - none == pytest.approx(300, abs=60) and child - none == pytest.approx(310, abs=60)


def test_a_process_that_dies_is_a_fault_of_its_pair(tmp_path):
    lost, fine = evaluate(isolated([HungryMethod()]), [pair("a", "b", level="L9"), PAIRS[0]], tmp_path / "out.csv")
    assert "died" in lost["fault"] and fine["fault"] == ""


def test_faults_and_missing_tools_are_the_methods(tmp_path):
    with pytest.raises(InputError, match="cubes: broken"):
        evaluate(isolated([CubeMethod(version="broken")]), PAIRS, tmp_path / "out.csv")
    (row,) = evaluate(isolated([CubeMethod(fails_on="a")]), PAIRS[:1], tmp_path / "faults.csv")
    assert row["fault"].startswith("a: first line")


@pytest.mark.slow
def test_a_network_is_slower_cold_than_warm(tmp_path):
    names = {"level": "L3", "label": ""}
    for name, place in {"fixed": (12.5, -30.0, 55.5), "moving": (-200.0, 40.5, 7.0)}.items():
        ct, label = scan(grid_about(place, (40, 40, 40), (1, 1, 1)), place)
        names |= {
            name: save(ct, tmp_path / f"{name}.nii.gz"),
            f"{name}_seg": save(label, tmp_path / f"{name}_s.nii.gz"),
        }
    model = RegisterMethod(save_network(tmp_path / "small.h5"))
    (plain,) = evaluate([model], [names], tmp_path / "plain.csv")
    (row,) = evaluate(isolated([model]), [names], tmp_path / "out.csv")
    assert row["fault"] == "" and row["dice_deformable"] == pytest.approx(plain["dice_deformable"], abs=1e-6)
    assert row["seconds_cold"] > 2 * row["seconds"] and row["memory_mb"] > 200


def test_rows_without_costs_are_not_mixed_with_rows_with(tmp_path):
    evaluate([CubeMethod()], PAIRS[:1], tmp_path / "out.csv")
    with pytest.raises(InputError, match="in a process of its own"):
        evaluate(isolated([CubeMethod()]), PAIRS[:1], tmp_path / "out.csv")
