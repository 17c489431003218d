"""Which networks the studies train, at which size."""

from dataclasses import replace

import keras
import pytest

from acsgreg_tf import networks, training
from acsgreg_tf.errors import InputError
from acsgreg_tf.evaluation.studies import ABLATIONS, SCALES, plan
from tests.evaluation.studies.cases import LEVELS


def test_plan_of_the_paper():
    runs = plan(LEVELS, ablations=tuple(ABLATIONS))
    assert [(run.study, run.network, run.level) for run in runs[:5]] == [
        ("I", "AVoxelMorph", level) for level in LEVELS
    ]
    mixed = [("II", "AVoxelMorph", None), ("III", "ACSGRegNet", None)]
    assert [(run.study, run.network, run.level) for run in runs[5:7]] == mixed
    assert [run.name for run in runs[7:]] == ["ablation-sam", "ablation-cam", "ablation-gate", "ablation-labels"]
    assert [run.labels for run in runs[7:]] == [True, True, True, False]
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


@pytest.mark.parametrize(
    "arguments, words",
    [
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
