"""The command line of studies.py: faults in one line, before any work."""

import pytest

from acsgreg_tf.cli.studies import main


def test_the_displacement_reading_reaches_avoxelmorph_alone(tmp_path, monkeypatch):
    scales = []

    class Stopped(Exception):
        pass

    def stop(split, out, scale, *others, **options):
        scales.append(scale)
        raise Stopped

    monkeypatch.setattr("acsgreg_tf.evaluation.studies.cohort.generated_split", lambda *others: None)
    monkeypatch.setattr("acsgreg_tf.evaluation.studies.run_studies", stop)
    for more in ([], ["--field", "displacement"]):
        with pytest.raises(Stopped):
            main(["--scale", "smoke", "--out", str(tmp_path / "out"), *more])
    plain, other = (scale.networks for scale in scales)
    assert other == plain | {"AVoxelMorph": plain["AVoxelMorph"] | {"field": "displacement"}} and other != plain


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
        (["--processes", "0"], "--processes 0"),
        (["--seed", "-1"], "--seed -1"),
    ],
)
def test_faults_are_one_line_and_code_2(tmp_path, capsys, more, words):
    assert main(["--scale", "smoke", "--out", str(tmp_path / "out"), *more]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and words in lines[0]
    assert not (tmp_path / "out").exists()
