"""Model files: what is saved comes back, in every format; what is no model of ours ends in one line that says why."""

import json
import os
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.networks import ACSGRegNet, AffineNet, AVoxelMorph, load, storage
from tests.networks.cases import ACSG, assert_same_outputs, make, outputs_of, pair, randomise

FILES = Path(__file__).parent / "files"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folder with affine.h5, affine.keras and acsgregnet.h5, for the tests that spoil them."""
    folder = tmp_path_factory.mktemp("models")
    affine = make("affine_net")
    affine.save(folder / "affine.h5")
    affine.save(folder / "affine.keras")
    make("acsgregnet", layers=1).save(folder / "acsgregnet.h5")
    return folder


def refusal(path, *words, reader=load):
    """The message with which `reader(path)` refuses: one line that names the file and holds the words."""
    with pytest.raises(InputError) as caught:
        reader(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and len(message) < 400, message
    for word in words:
        assert word in message, message
    return message


# === round trips ===


def test_keras_reads_it_without_a_word_about_compiling(saved, caplog, tmp_path):
    """Of networks of ours alone: a user's own model without a loss is still warned of."""
    keras.models.load_model(saved / "affine.h5")
    assert not caplog.records
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "own.h5")
    caplog.clear()
    keras.models.load_model(tmp_path / "own.h5")
    assert [record for record in caplog.records if "not* compiled" in record.getMessage()]


@pytest.mark.parametrize(
    "reader", [load, lambda path: keras.models.load_model(path, compile=False)], ids=["ours", "Keras"]
)
@pytest.mark.parametrize("which", ["acsgregnet", "avoxelmorph"])
def test_a_file_of_version_0_1_gives_its_outputs(which, reader):
    """The layers of the deformable stage stand beside affine_net in these files, which no stage existed for yet."""
    outputs, expected = outputs_of(reader(FILES / f"{which}_v1.h5")), np.load(FILES / f"{which}_v1.npz")
    assert np.abs(expected["phi"]).max() > 0.05
    for name in expected.files:
        np.testing.assert_allclose(outputs[name], expected[name], atol=1e-5, err_msg=name)


@pytest.mark.parametrize("which", ["acsgregnet", "avoxelmorph"])
def test_a_file_has_the_layout_of_version_0_1(which, tmp_path):
    make(which, **({"decoder": "half"} if which == "avoxelmorph" else {})).save(tmp_path / "new.h5")

    def layout(path):
        with h5py.File(path) as file:
            group = file["model_weights"]
            return [(name, list(group[name].attrs["weight_names"])) for name in group.attrs["layer_names"]]

    assert layout(tmp_path / "new.h5") == layout(FILES / f"{which}_v1.h5")


def test_half_precision_halves_the_file_and_stays_close(tmp_path):
    network = randomise(make("affine_net", features=(8, 32, 64), normalization="batch"))
    network.save(tmp_path / "full.h5")
    network.save(tmp_path / "half.h5", weights_dtype="float16")
    assert 0.4 < os.path.getsize(tmp_path / "half.h5") / os.path.getsize(tmp_path / "full.h5") < 0.55
    for again in (load(tmp_path / "half.h5"), keras.models.load_model(tmp_path / "half.h5", compile=False)):
        assert {w.dtype for w in again.trainable_weights} == {"float32"}
        for old, new in zip(network.weights, again.weights, strict=True):
            tolerance = 0 if len(old.shape) == 1 else 1e-3  # vectors keep their precision
            old, new = (keras.ops.convert_to_numpy(w) for w in (old, new))
            np.testing.assert_allclose(new, old, rtol=tolerance, atol=tolerance / 10)
        assert_same_outputs(network, again, atol=0.01)
    assert sorted(os.listdir(tmp_path)) == ["full.h5", "half.h5"]


def test_the_file_carries_the_constructors_arguments(saved):
    with h5py.File(saved / "acsgregnet.h5") as file:
        result = json.loads(file.attrs["model_config"])
    expected = make("acsgregnet", layers=1).get_config()
    assert result["class_name"] == "ACSGRegNet"
    assert result["config"] == json.loads(json.dumps(expected))
    assert result["config"]["heads"] == 3 and result["config"]["inshape"] == [16, 16, 16]


def test_loading_by_the_file_alone_finds_the_class(saved):
    assert type(load(saved / "affine.h5")) is AffineNet
    assert type(load(saved / "affine.keras")) is AffineNet
    assert type(load(saved / "acsgregnet.h5")) is ACSGRegNet


def test_a_path_may_be_text_and_have_capitals_and_a_long_ending(saved, tmp_path):
    network = load(str(saved / "affine.h5"))
    for name in ("MODEL.H5", "model.hdf5"):
        network.save(str(tmp_path / name))
        assert_same_outputs(network, load(str(tmp_path / name)))


@pytest.mark.trains
def test_a_loaded_network_can_be_trained_on(saved):
    network = load(saved / "affine.h5")
    before = outputs_of(network)["affine"]
    network.compile(keras.optimizers.Adam(1e-2), loss="mse", jit_compile=False)
    network.fit(pair(), np.zeros((1, 3, 4)), epochs=1, verbose=0)
    assert np.abs(outputs_of(network)["affine"] - before).max() > 1e-3


# === saving what cannot be saved ===


def test_saving_to_a_place_or_a_kind_that_cannot_be(tmp_path, saved):
    network = load(saved / "affine.h5")
    refusal(tmp_path / "model.pt", "ends in .h5, .hdf5 or .keras", reader=network.save)
    for ending in ("h5", "keras"):
        refusal(tmp_path / "nowhere" / f"model.{ending}", "does not exist", reader=network.save)
    with pytest.raises(InputError, match="weights_dtype must be float32 or float16, got int8"):
        network.save(tmp_path / "model.h5", weights_dtype="int8")
    with pytest.raises(ValueError, match="unknown options"):
        network.save(tmp_path / "model.h5", include_optimizer=True)
    with pytest.raises(InputError, match="only .h5"):
        network.save(tmp_path / "model.keras", weights_dtype="float16")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_fault_on_the_way_leaves_the_old_file_and_nothing_else(tmp_path, saved, monkeypatch, dtype):
    network, path = load(saved / "affine.h5"), tmp_path / "model.h5"
    path.write_bytes(b"the old one")

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    if dtype == "float32":
        monkeypatch.setattr("keras.src.legacy.saving.legacy_h5_format.save_model_to_hdf5", full)
    else:
        monkeypatch.setattr(storage, "_copy_halved", full)
    with pytest.raises(InputError, match="cannot be written .No space left"):
        network.save(path, dtype)
    assert path.read_bytes() == b"the old one"
    assert os.listdir(tmp_path) == ["model.h5"]


# === files that are no models of ours ===


def test_missing_files_and_folders(tmp_path):
    refusal(tmp_path / "model.h5", "no such model file")
    refusal(tmp_path / "model.keras", "no such model file")
    (tmp_path / "folder.h5").mkdir()
    refusal(tmp_path / "folder.h5", "no such model file")


def test_another_ending(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"x")
    refusal(tmp_path / "model.pt", "ends in .h5, .hdf5 or .keras")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(100), b"hello"], ids=["empty", "png", "text"])
def test_no_hdf5(tmp_path, content):
    (tmp_path / "model.h5").write_bytes(content)
    refusal(tmp_path / "model.h5", "not an HDF5 file")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
@pytest.mark.parametrize("ending", ["h5", "keras"])
def test_truncated(saved, tmp_path, ending, share):
    content = (saved / f"affine.{ending}").read_bytes()
    (tmp_path / f"model.{ending}").write_bytes(content[: int(share * len(content))])
    refusal(tmp_path / f"model.{ending}", "damaged or truncated")


def test_damaged_inside(saved, tmp_path):
    path = tmp_path / "model.h5"
    load(saved / "affine.h5").save(path, weights_dtype="float16")
    with h5py.File(path) as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if getattr(item, "chunks", None) else None)
        chunk = file[names[-1]].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(content)
    refusal(path, "damaged or truncated")


def test_weights_alone(saved, tmp_path):
    network = load(saved / "affine.h5")
    network.save_weights(tmp_path / "new.weights.h5")
    refusal(tmp_path / "new.weights.h5", "weights only", "save the whole model")
    with h5py.File(saved / "affine.h5") as old, h5py.File(tmp_path / "old.h5", "w") as new:  # Keras 2's layout
        for name in old["model_weights"]:
            old.copy(old["model_weights"][name], new, name)
    refusal(tmp_path / "old.h5", "weights only")


def with_config(path, source, config):
    """A copy of a model file with another model_config."""
    path.write_bytes(source.read_bytes())
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = config if isinstance(config, (str, bytes)) else json.dumps(config)
    return path


@pytest.mark.parametrize(
    "description",
    [
        {
            "class_name": "VxmDense",
            "config": {
                "inshape": [160, 192, 224],
                "nb_unet_features": [[16, 32], [32, 16]],
                "int_steps": 7,
                "int_resolution": 2,
                "name": "vxm_dense",
                "metadata": {},
            },
        },
        {"class_name": "VxmDense", "config": {"inshape": [160, 192, 224], "enc_nf": [16, 32], "dec_nf": [32, 16]}},
        {
            "class_name": "VxmAffineFeatureDetector",
            "config": {"in_shape": [96, 96, 96], "num_feat": 64, "metadata": {}},
        },
    ],
    ids=["VxmDense", "old VxmDense", "VxmAffineFeatureDetector"],
)
def test_a_voxelmorph_model(saved, tmp_path, description):
    path = with_config(tmp_path / "vxm.h5", saved / "affine.h5", description)
    refusal(path, "voxelmorph model", "ACSGRegNet")


def test_another_kind_of_network(saved, tmp_path):
    refusal(saved / "affine.h5", "holds AffineNet, expected ACSGRegNet", reader=ACSGRegNet.load)
    refusal(saved / "affine.keras", "holds AffineNet, expected AVoxelMorph", reader=AVoxelMorph.load)
    foreign = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    for ending in ("h5", "keras"):
        foreign.save(tmp_path / f"foreign.{ending}")
        refusal(tmp_path / f"foreign.{ending}", "holds Sequential, expected")


@pytest.mark.parametrize("text", ["[1, 2]", "null", '{"class_name": "AffineNet", "config": 3}'])
def test_a_config_of_another_shape(saved, tmp_path, text):
    refusal(with_config(tmp_path / "model.h5", saved / "affine.h5", text), "model_config")


def test_a_config_that_is_no_json(saved, tmp_path):
    refusal(with_config(tmp_path / "model.h5", saved / "affine.h5", "{"), "model_config is not JSON")


def test_arguments_of_another_version(saved, tmp_path):
    config = {**load(saved / "affine.h5").get_config(), "colour": "red"}
    path = with_config(tmp_path / "a.h5", saved / "affine.h5", {"class_name": "AffineNet", "config": config})
    refusal(path, "does not fit this version", "colour")
    config = {**make("acsgregnet").get_config(), "width": 13}
    path = with_config(tmp_path / "b.h5", saved / "acsgregnet.h5", {"class_name": "ACSGRegNet", "config": config})
    refusal(path, "does not fit this version", "got width 13 and 3 heads")


@pytest.mark.parametrize("changes", [{"width": 24}, {"layers": 2}, {"attention": ("self",)}], ids=str)
def test_weights_that_do_not_fit_the_config(saved, tmp_path, changes):
    config = make("acsgregnet", **{"layers": 1, **changes}).get_config()
    path = with_config(tmp_path / "a.h5", saved / "acsgregnet.h5", {"class_name": "ACSGRegNet", "config": config})
    refusal(path, "weights do not fit")


def test_no_weights_at_all(saved, tmp_path):
    path = tmp_path / "model.h5"
    path.write_bytes((saved / "affine.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        del file["model_weights"]
    refusal(path, "weights do not fit")


def rezipped(path, source, change):
    """A copy of a .keras file whose members went through `change(name, content)`; None leaves one out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return path


def test_a_keras_file_without_its_parts(saved, tmp_path):
    source = saved / "affine.keras"
    for part in ("config.json", "model.weights.h5"):
        path = rezipped(tmp_path / f"{part}.keras", source, lambda n, c, part=part: None if n == part else c)
        refusal(path, "damaged")
    path = rezipped(tmp_path / "a.keras", source, lambda n, c: b"{" if n == "config.json" else c)
    refusal(path, "damaged")
    path = rezipped(tmp_path / "b.keras", source, lambda n, c: c[: len(c) // 2] if n == "model.weights.h5" else c)
    refusal(path, "damaged")


def test_a_keras_file_with_a_flipped_byte(saved, tmp_path):
    content = bytearray((saved / "affine.keras").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "model.keras").write_bytes(content)
    refusal(tmp_path / "model.keras", "damaged")


def test_a_keras_file_with_arguments_of_another_version(saved, tmp_path):
    def repaint(name, content):
        if name != "config.json":
            return content
        config = json.loads(content)
        config["config"]["colour"] = "red"
        return json.dumps(config)

    refusal(rezipped(tmp_path / "a.keras", saved / "affine.keras", repaint), "does not fit this version", "colour")


@pytest.mark.parametrize("ending", ["h5", "keras"])
def test_a_file_that_may_not_be_read(saved, monkeypatch, ending):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(storage, "open", refuse, raising=False)
    refusal(saved / f"affine.{ending}", "cannot be read", "Permission denied")


def test_the_error_is_a_value_error(tmp_path):
    with pytest.raises(ValueError):
        load(tmp_path / "model.h5")


def test_names_of_study_survive(tmp_path):
    network = make("acsgregnet", **{**ACSG, "layers": 1})
    network.save(tmp_path / "a.h5")
    again = load(tmp_path / "a.h5")
    assert set(again.deformable_net.study_outputs) == {"v_s", "v_c", "w_s", "w_c"}
    assert_same_outputs(network.with_study(), again.with_study())


@pytest.mark.parametrize("steps", [1_000_000, -1])
def test_a_number_of_squarings_that_would_never_end(saved, tmp_path, steps):
    with h5py.File(saved / "acsgregnet.h5") as file:
        config = json.loads(file.attrs["model_config"])
    config["config"]["int_steps"] = steps
    with_config(tmp_path / "model.h5", saved / "acsgregnet.h5", config)
    refusal(tmp_path / "model.h5", "int_steps")


# === presets ===


@pytest.mark.slow
def test_the_preset_is_the_shipped_network_and_its_architecture_alone():
    network = ACSGRegNet.from_preset("lumbar")
    shipped = load(Path(__file__).resolve().parents[2] / "models" / "acsgreg_lumbar.h5")
    for ours, theirs in zip(network.get_weights(), shipped.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    new = ACSGRegNet.from_preset("lumbar", load_weights=False)
    assert new.get_config() == network.get_config()
    assert any((a != b).any() for a, b in zip(new.get_weights(), network.get_weights(), strict=True))


def test_a_path_is_a_preset_too_and_what_is_neither_is_refused(saved):
    network = AffineNet.from_preset(saved / "affine.h5")
    np.testing.assert_array_equal(network.get_weights()[0], load(saved / "affine.h5").get_weights()[0])
    assert AffineNet.from_preset(str(saved / "affine.keras")).get_config() == network.get_config()
    with pytest.raises(InputError, match="preset thoracic: must be one of lumbar, or the path of a model file"):
        ACSGRegNet.from_preset("thoracic")
    with pytest.raises(InputError, match="acsgreg_lumbar.h5: holds ACSGRegNet, expected AVoxelMorph"):
        AVoxelMorph.from_preset("lumbar")
