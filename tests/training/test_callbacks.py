"""What a run writes: rows of the log, the best and the last network, states between epochs. No training is needed."""

import csv

import keras
import numpy as np
import pytest

from acsgreg_tf.networks import AVoxelMorph, load
from acsgreg_tf.training import Position, Recipe, RunFolder
from acsgreg_tf.training.callbacks import EpochLog, NetworkCheckpoint, StateSaver


@pytest.fixture
def network():
    return AVoxelMorph(
        (8, 8, 8), affine_features=(2,), encoder_features=(2,), decoder_features=(2, 2), normalization="none"
    )


def bias_of(path):
    return float(np.array(load(path).get_layer("velocity").bias)[0])


def test_a_row_an_epoch_goes_on_after_a_restart(tmp_path):
    position = Position("joint", step=30)
    EpochLog(tmp_path / "log.csv", position).on_epoch_end(2, {"loss": 0.5, "val_loss": np.float32(0.25)})
    position.step = 40
    EpochLog(tmp_path / "log.csv", position).on_epoch_end(3, {"loss": 0.4, "val_loss": 0.125})
    with open(tmp_path / "log.csv", newline="", encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    assert header == ["stage", "epoch", "step", "seconds", "loss", "val_loss"]
    assert [line[:3] + line[4:] for line in lines] == [
        ["joint", "3", "30", "0.5", "0.25"],
        ["joint", "4", "40", "0.4", "0.125"],
    ]


def test_the_row_of_an_epoch_that_is_trained_again_is_dropped(tmp_path):
    """Killed after the row of step 40 and before its state, that of step 30 is resumed; the last row was torn."""
    log = EpochLog(tmp_path / "log.csv", position := Position("joint", step=30))
    log.on_epoch_end(2, {"loss": 0.5, "val_loss": 0.25})
    position.step = 40
    log.on_epoch_end(3, {"loss": 0.4, "val_loss": 0.125})
    with open(tmp_path / "log.csv", "a") as file:
        file.write("joint,5,5")
    resumed = EpochLog(tmp_path / "log.csv", Position("joint", step=30))
    resumed.position.step = 40
    resumed.on_epoch_end(3, {"loss": 0.3, "val_loss": 0.5})
    with open(tmp_path / "log.csv", newline="", encoding="utf-8") as file:
        assert [(row["step"], row["loss"]) for row in csv.DictReader(file)] == [("30", "0.5"), ("40", "0.3")]
    EpochLog(tmp_path / "log.csv", Position("joint"))
    assert not (tmp_path / "log.csv").exists(), "a run from the start has none of these epochs"


def test_the_best_network_is_that_of_the_least_loss_and_the_last_one_the_last(network, tmp_path):
    folder = tmp_path / "run {1}"
    folder.mkdir()
    options = {"monitor": "val_loss", "mode": "min", "save_best_only": True, "initial_value_threshold": 0.9}
    best, last = (
        NetworkCheckpoint(folder / "best.h5", network, **options),
        NetworkCheckpoint(folder / "last.h5", network),
    )
    trained = keras.Model(network.inputs, network.outputs)
    for epoch, loss in enumerate((1.0, 0.5, 0.7)):
        network.get_layer("velocity").bias.assign([epoch] * 3)
        for callback in (best, last):
            callback.set_model(trained)
            callback.on_epoch_end(epoch, {"val_loss": loss})
        assert (folder / "best.h5").exists() == (epoch > 0), "1.0 is worse than the best of the run before"
    assert bias_of(folder / "best.h5") == 1 and bias_of(folder / "last.h5") == 2
    assert best.best == 0.5


def test_states_are_saved_between_epochs_and_at_their_end(network, tmp_path):
    folder, position = RunFolder(tmp_path / "run"), Position(step=3)
    saver = StateSaver(folder, Recipe(), position, epoch_steps=6, save_every=2)
    saver.set_model(network)
    saved = []
    for batch in range(3):
        saver.on_train_batch_end(batch)
        state = folder.read_state()
        saved.append(state and state.position.step)
    assert saved == [4, 4, 4], "step 6 is the end of an epoch, whose log is written before the state"
    saver.on_epoch_end(0)
    assert folder.read_state().position == position and position.step == 6
    assert [path.name for path in (tmp_path / "run").glob("*.h5")] == ["state-joint-0000006.weights.h5"]
