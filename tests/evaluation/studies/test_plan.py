"""Which networks the studies train, at which size."""

from dataclasses import replace

import keras
import pytest

from acsgreg_tf import networks, training
from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation.studies import SCALES, plan
from acsgreg_tf.evaluation.studies.plan import ablations_of
from tests.evaluation.studies.cases import LEVELS


def test_plan_of_the_paper():
    runs = plan(LEVELS, ablations=ablations_of({}))
    assert [(run.study, run.network, run.level) for run in runs[:5]] == [
        ("I", "AVoxelMorph", level) for level in LEVELS
    ]
    mixed = [("II", "AVoxelMorph", None), ("III", "ACSGRegNet", None)]
    assert [(run.study, run.network, run.level) for run in runs[5:7]] == mixed
    ablations = ["sam", "cam", "gate", "labels", "instance"]
    assert [run.name for run in runs[7:]] == [f"ablation-{name}" for name in ablations]
    assert [run.labels for run in runs[7:]] == [True, True, True, False, True]
    paper = SCALES["paper"]
    assert paper.recipe == training.Recipe() and paper.spacing == 1 and paper.networks["ACSGRegNet"] == {}
    assert (paper.people, paper.test_people, paper.per_sample) == (61, 10, 10)


@pytest.mark.parametrize(
    "name, gone, left",
    [("sam", "sam_fixed", "cam"), ("cam", "cam", "sam_fixed"), ("gate", "gfm", "cam")],
)
def test_an_ablation_lacks_what_it_says(name, gone, left):
    scale = SCALES["smoke"]
    (run,) = [run for run in plan(["L1"], ["III"], [name]) if run.study == "ablation"]
    network = networks.ACSGRegNet((32, 32, 16), **scale.networks["ACSGRegNet"], **run.changed)
    layers = {layer.name for layer in network.layers}
    assert gone not in layers and left in layers
    keras.backend.clear_session()


def test_seeds_repeat_the_mixed_studies_alone():
    runs = plan(["L1", "L2"], ablations=["sam"], seeds=3)
    repeats = [(run.name, run.repeat) for run in runs if run.repeat]
    assert repeats == [(f"study-{study}-repeat{n}", n) for study in ("II", "III") for n in (1, 2)]
    assert len(runs) == len(plan(["L1", "L2"], ablations=["sam"])) + 4


def test_a_normalisation_that_the_network_has_is_no_ablation():
    sizes = networks.SIZES["ACSGRegNet"]
    assert "batch" in ablations_of(sizes["deep"]) and "instance" not in ablations_of(sizes["deep"])
    assert "instance" in ablations_of(sizes["paper"]) and "batch" not in ablations_of(sizes["paper"])
    assert {"batch", "instance"} <= set(ablations_of(sizes["compact"]))  # its encoder has none
    (run,) = [run for run in plan(["L1"], ["III"], ["batch"]) if run.study == "ablation"]
    network = networks.ACSGRegNet((32, 32, 16), **(SCALES["smoke"].networks["ACSGRegNet"] | run.changed))
    kinds = {type(layer).__name__ for layer in network._flatten_layers()}
    assert "BatchNormalization" in kinds and "InstanceNormalization" not in kinds
    keras.backend.clear_session()


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((LEVELS, ["II"], (), 0), "seeds 0"),
        ((LEVELS, ["IV"]), "study 'IV'"),
        ((LEVELS, []), "studies"),
        ((LEVELS, ["I"], ["sam"]), "ablations: .*III"),
        ((LEVELS, ["III"], ["head"]), "ablation 'head'"),
    ],
)
def test_what_is_no_study_is_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        plan(*arguments)


def test_a_scale_needs_people_to_train_on():
    with pytest.raises(InputError, match="people 5: 4"):
        replace(SCALES["smoke"], people=5, test_people=4)
    with pytest.raises(InputError, match="test people 1"):
        replace(SCALES["smoke"], test_people=1)
