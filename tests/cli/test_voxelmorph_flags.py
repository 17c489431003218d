"""Flags of voxelmorph's own scripts: each is taken, or says what to use instead."""

import pytest

from acsgreg_tf.cli.main import module_of
from acsgreg_tf.cli.voxelmorph_flags import INSTEAD
from acsgreg_tf.errors import InputError

# Of voxelmorph 0.2's scripts/tf/*.py.
FLAGS = {
    "register": "moving fixed moved model warp gpu multichannel",
    "warp": "moving warp moved interp multichannel",
    "test": "model pairs img-suffix seg-suffix img-prefix seg-prefix labels multichannel gpu",
    "train": "img-list img-prefix img-suffix atlas model-dir multichannel gpu batch-size epochs steps-per-epoch "
    "load-weights initial-epoch lr enc dec int-steps int-downsize use-probs bidir image-loss lambda kl-lambda "
    "legacy-image-sigma seg-list labels grad-loss-weight dice-loss-weight",
}


@pytest.mark.parametrize("command", FLAGS)
def test_every_flag_is_known(command):
    parser = module_of(command).parser()
    known = {option for action in parser._actions for option in action.option_strings}
    assert {f"--{flag}" for flag in FLAGS[command].split()} <= known
    assert set(INSTEAD[command]) <= known


@pytest.mark.parametrize(
    "command, flag", [(command, flag) for command, flags in INSTEAD.items() for flag in flags], ids=lambda text: text
)
def test_a_flag_that_makes_no_sense_names_another_and_is_not_in_the_help(command, flag, capsys):
    parser = module_of(command).parser()
    with pytest.raises(InputError, match=f"^{flag}: voxelmorph's flag; here .{{15}}"):
        parser.parse_args([flag, "1"])
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    assert f"{flag} " not in capsys.readouterr().out
