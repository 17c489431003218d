"""The command line of studies.py: faults in one line, before any work."""

from dataclasses import replace

import pytest

from acsgreg_tf.cli.studies import main


class Stopped(Exception):
    pass


@pytest.fixture
def scale_of(tmp_path, monkeypatch):
    """The scale that a command line asks for."""
    scales = []

    def stop(split, out, scale, *others, **options):
        scales.append(scale)
        raise Stopped

    monkeypatch.setattr("acsgreg_tf.evaluation.studies.cohort.generated_split", lambda *others: None)
    monkeypatch.setattr("acsgreg_tf.evaluation.studies.run_studies", stop)

    def run(*more):
        with pytest.raises(Stopped):
            main(["--scale", "smoke", "--out", str(tmp_path / "out"), *more])
        return scales[-1]

    return run


def test_the_displacement_reading_reaches_avoxelmorph_alone(scale_of):
    plain, other = scale_of().networks, scale_of("--field", "displacement").networks
    assert other == plain | {"AVoxelMorph": plain["AVoxelMorph"] | {"field": "displacement"}} and other != plain


def test_batch_and_precision_are_those_of_every_training(scale_of):
    plain = scale_of()
    other = scale_of("--batch-size", "1", "--accumulate", "4", "--mixed-precision", "bfloat16")
    assert other == replace(plain, precision="mixed_bfloat16", recipe=replace(plain.recipe, batch_size=1, accumulate=4))
    assert (plain.precision, plain.recipe.accumulate) == ("float32", 1)


@pytest.mark.parametrize(
    "more, words",
    [
        (["--studies", "IV"], "study 'IV'"),
        (["--ablations", "sam", "--studies", "I"], "ablations"),
        (["--ablations", "head"], "ablation 'head'"),
        (["--manifest", "m.csv"], "--manifest"),
        (["--split", "s.json", "--people", "9"], "--people"),
        (["--split", "gone.json"], "gone.json"),
        (["--people", "3"], "people 3"),
        (["--epochs", "0"], "epochs"),
        (["--batch-size", "0"], "--batch-size"),
        (["--processes", "0"], "--processes 0"),
        (["--seed", "-1"], "--seed -1"),
        (["--seeds", "0"], "--seeds 0"),
        (["--scale", "cpu", "--ablations", "instance"], "ablation instance: changes nothing"),
    ],
)
def test_faults_are_one_line_and_code_2(tmp_path, capsys, more, words):
    assert main(["--scale", "smoke", "--out", str(tmp_path / "out"), *more]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and words in lines[0]
    assert not (tmp_path / "out").exists()
