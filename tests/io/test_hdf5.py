"""HDF5 files: copied clean, and refused where they point elsewhere or state more than they hold."""

import io

import h5py
import numpy as np
import pytest

from acsgreg_tf.errors import InputError
from acsgreg_tf.io.hdf5 import check_hdf5, clean_copy
from acsgreg_tf.io.transforms import read_transform


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.attrs["config"] = "text"
        data = file.create_dataset("a/b/values", data=np.arange(5000.0), compression="gzip", shuffle=True)
        data.attrs["names"] = np.array([b"x", b"yz"])
        file.create_group("empty")
    return path


def test_a_copy_holds_the_same(path):
    check_hdf5(path)
    with h5py.File(io.BytesIO(clean_copy(path)), "r") as copy:
        assert copy.attrs["config"] == "text" and set(copy) == {"a", "empty"}
        assert copy["a/b/values"][-1] == 4999 and copy["a/b/values"].attrs["names"].tolist() == [b"x", b"yz"]


def spoil(file, fault, other):
    if fault == "external link":
        file["link"] = h5py.ExternalLink(other, "/secret")
    elif fault == "soft link":
        file["link"] = h5py.SoftLink("/link")
    elif fault == "external data":
        file.create_dataset("link", (4,), "u1", external=[(str(other), 0, 4)])
    elif fault == "virtual data":
        layout = h5py.VirtualLayout((4,), "f8")
        layout[:] = h5py.VirtualSource(str(other), "secret", (4,))
        file.create_virtual_dataset("link", layout)
    elif fault == "circle":
        file["a/link"] = file["a"]
    else:
        file.create_dataset("link", (2**40,), "f8", chunks=(2**20,))


@pytest.mark.parametrize(
    "fault, words",
    [
        ("external link", "link to elsewhere"),
        ("soft link", "link to elsewhere"),
        ("external data", "in another file"),
        ("virtual data", "in another file"),
        ("circle", "stands in the file twice"),
        ("bomb", "shorter than its header says"),
    ],
)
def test_what_lies_elsewhere_or_nowhere_is_refused(path, tmp_path, fault, words):
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["secret"] = np.ones(4)
    with h5py.File(path, "r+") as file:
        spoil(file, fault, other)
    for read in (check_hdf5, clean_copy, read_transform):
        with pytest.raises(InputError, match=f"file.h5: .*{words}"):
            read(path)
