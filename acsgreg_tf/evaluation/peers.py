"""Other registration tools on the same two vertebrae, with the networks' answer: an affine and a displacement.

One of them is the shipped network with voxelmorph's own layers in place of this package's. The others come with the optional
extra ``acsgreg_tf[peers]`` and are imported when they are run. Each gets the crops that a network gets, on one common grid with
the vertebrae's centres laid on each other, and nothing else: no labels, no masks. What it finds is taken apart as
p_fixed -> phi -> A -> moving, so that one harness measures them all.
"""

import glob
import importlib.metadata
import importlib.util
import locale
import os
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import DenseField, affine_from_network, affine_to_network, field_to_network, network_grid
from acsgreg_tf.io.transforms import from_sitk_transform, read_displacement, read_itk, to_sitk

__all__ = ["PEERS", "Answer", "check_peer", "register_peer", "version_of", "voxelmorph_network"]


@dataclass(frozen=True, eq=False)
class Answer:
    """What a tool found for one pair, in voxels of the common grid, pull, as a network gives it.

    Attributes:
        affine: (3, 4) about the grid's centre, fixed -> moving; the identity where the tool has no such stage.
        displacement: (X, Y, Z, 3), phi, applied before the affine; zero for an affine tool.
        inverse: (X, Y, Z, 3), the inverse of phi, or None where the tool gives none.
        seconds: of the registration itself, from arrays to transform.
    """

    affine: np.ndarray
    displacement: np.ndarray
    inverse: np.ndarray | None
    seconds: float


def check_peer(name):
    """Raise InputError unless `name` is one of PEERS and its tool is installed."""
    if name not in PEERS:
        raise InputError(f"method {name!r}: must be one of network, {', '.join(PEERS)}")
    module, package, _ = PEERS[name]
    if importlib.util.find_spec(module) is None:
        raise InputError(f"method {name}: needs {package}, which pip install 'acsgreg_tf[peers]' brings")


def version_of(name):
    """The package that runs a peer and its version, such as "antspyx 0.6.3". Raises InputError as `check_peer`."""
    check_peer(name)
    return f"{PEERS[name][1]} {importlib.metadata.version(PEERS[name][1])}"


def register_peer(name, fixed, moving, spacing=1.0):
    """Register two vertebrae with another tool.

    Args:
        name: one of PEERS.
        fixed, moving: (X, Y, Z) images of one shape, vertebrae's centres laid on each other, background 0.
        spacing: side of a voxel, mm.

    Returns:
        An Answer.

    Raises:
        InputError: no such tool or it is not installed, or shapes differ.
        RuntimeError: what the tool itself says when it fails.
    """
    check_peer(name)
    fixed, moving = np.asarray(fixed, np.float32), np.asarray(moving, np.float32)
    if fixed.ndim != 3 or fixed.shape != moving.shape:
        raise InputError(f"images: shapes {fixed.shape} and {moving.shape} are not one shape (X, Y, Z)")
    grid = network_grid((0, 0, 0), fixed.shape, spacing)
    affine, displacement, inverse, seconds = PEERS[name][2](fixed, moving, grid)
    if displacement is None:
        displacement = np.zeros((*fixed.shape, 3), np.float32)
    return Answer(affine_to_network(affine, grid, grid), displacement, inverse, seconds)


# ANTs (Avants et al., Medical Image Analysis 2008), through antspyx


def _ants(kind, **options):
    def run(fixed, moving, grid):
        with _locale_kept():
            import ants
        images = [_to_ants(ants, volume, grid) for volume in (fixed, moving)]
        with tempfile.TemporaryDirectory() as folder:
            prefix = str(Path(folder) / "found_")
            with _seeded():
                begun = time.perf_counter()
                ants.registration(*images, type_of_transform=kind, outprefix=prefix, **options)
                seconds = time.perf_counter() - begun
            return *_read_ants(prefix), seconds

    return run


def _to_ants(ants, volume, grid):
    image = to_sitk(volume, grid)
    direction = np.reshape(image.GetDirection(), (3, 3))
    return ants.from_numpy(volume, origin=image.GetOrigin(), spacing=image.GetSpacing(), direction=direction)


def _read_ants(prefix):
    """(Affine, phi or None, its inverse or None) of the files that antsRegistration left: all linear stages in one."""
    (affine,) = glob.glob(f"{prefix}*GenericAffine.mat")
    fields = {}
    for path in glob.glob(f"{prefix}*Warp.nii.gz"):
        fields["inverse" if "InverseWarp" in path else "phi"] = field_to_network(read_displacement(path))
    return read_itk(affine), fields.get("phi"), fields.get("inverse")


@contextmanager
def _seeded():
    """Its affine samples points at random: the same ones each time, unless the user has set a seed."""
    given = os.environ.get("ANTS_RANDOM_SEED")
    os.environ["ANTS_RANDOM_SEED"] = given or "1"
    try:
        yield
    finally:
        if given is None:
            del os.environ["ANTS_RANDOM_SEED"]


@contextmanager
def _locale_kept():
    """Importing ants can set the process's locale, and with it how text files are read."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)


# elastix (Klein et al., IEEE TMI 2010), through itk-elastix


def _elastix(fixed, moving, grid, **settings):
    """Its own default parameters for "affine", then for "bspline"; `settings` replace some of them."""
    import itk

    images = [_to_itk(itk, volume, grid) for volume in (fixed, moving)]
    parameters = itk.ParameterObject.New()
    for stage in ("affine", "bspline"):
        chosen = parameters.GetDefaultParameterMap(stage)
        for name, value in settings.items():
            chosen[name] = (str(value),)
        parameters.AddParameterMap(chosen)
    begun = time.perf_counter()
    _, found = itk.elastix_registration_method(*images, parameter_object=parameters, log_to_console=False)
    seconds = time.perf_counter() - begun
    with tempfile.TemporaryDirectory() as folder:  # where it leaves a file of its own, else in the working folder
        vectors = itk.array_from_image(itk.transformix_deformation_field(images[1], found, output_directory=folder))
    total = _elastix_field(vectors, fixed, grid)
    affine = _elastix_affine(found.GetParameterMap(0))
    # elastix applies the affine first and the B-spline after it; x -> A^-1(T(x)) is the same T with the affine last.
    points = grid.points()
    phi = affine.inverse().apply(total.apply(points)) - points
    return affine, field_to_network(DenseField(phi.astype(np.float32), grid)), None, seconds


def _to_itk(itk, volume, grid):
    like = to_sitk(volume, grid)
    image = itk.image_from_array(np.ascontiguousarray(volume.T))
    image.SetOrigin(like.GetOrigin())
    image.SetSpacing(like.GetSpacing())
    image.SetDirection(np.reshape(like.GetDirection(), (3, 3)))
    return image


def _elastix_affine(parameters):
    """The Affine of elastix's AffineTransform: matrix, translation and centre in LPS mm."""
    numbers, centre = (
        [float(value) for value in parameters[name]] for name in ("TransformParameters", "CenterOfRotationPoint")
    )
    return from_sitk_transform(sitk.AffineTransform(numbers[:9], numbers[9:], centre))


def _elastix_field(vectors, fixed, grid):
    """The DenseField of transformix's displacements (Z, Y, X, 3) in LPS mm."""
    image = sitk.GetImageFromArray(vectors.astype(np.float64), isVector=True)
    image.CopyInformation(to_sitk(fixed, grid))
    return from_sitk_transform(sitk.DisplacementFieldTransform(image))


# voxelmorph's own layers (Dalca et al., Medical Image Analysis 2019), in place of this package's, in its network


def _voxelmorph(fixed, moving, grid):
    """The shipped network's weights; warps, integration and resizing by voxelmorph 0.2's own classes."""
    from acsgreg_tf.ops.backend import without_gradients
    from acsgreg_tf.registration import load_model

    network = load_model()
    if fixed.shape != network.inshape:
        raise InputError(f"images: shape {fixed.shape}; the network of voxelmorph-layers takes {network.inshape}")
    model = voxelmorph_network(network)
    inputs = {"fixed": fixed[None, ..., None], "moving": moving[None, ..., None]}
    call = without_gradients(model)  # as register calls a network
    call(inputs, training=False)  # what is made once is not the registration's time
    begun = time.perf_counter()
    found = call(inputs, training=False)
    affine, phi = (np.asarray(found[name])[0] for name in ("affine", "phi"))
    seconds = time.perf_counter() - begun
    return affine_from_network(affine, grid, grid), phi, None, seconds


def voxelmorph_network(network):
    """A JointNetwork whose SpatialTransformers, VecInt and resizing are voxelmorph's own; weights are shared.

    Outputs affine, m_a, phi and m_d, as JointNetwork's. Needs the TensorFlow backend.
    """
    import keras

    from acsgreg_tf.layers._voxelmorph import voxelmorph
    from acsgreg_tf.ops.backend import title

    if voxelmorph is None:
        raise InputError(f"voxelmorph-layers: runs on TensorFlow only, not on {title()}")
    layers = voxelmorph.layers
    inputs = network.input
    affine = network.affine_net(inputs)
    m_a = layers.SpatialTransformer(shift_center=True)([inputs["moving"], affine])
    velocity = network.deformable_net([inputs["fixed"], m_a])
    phi = layers.VecInt(int_steps=network.arguments["int_steps"])(velocity)
    if network.arguments["int_downsize"] > 1:
        phi = layers.RescaleTransform(network.arguments["int_downsize"])(phi)
    m_d = layers.SpatialTransformer()([m_a, phi])
    return keras.Model(inputs, {"affine": affine, "m_a": m_a, "phi": phi, "m_d": m_d})


# name: (module that must be there, package that brings it, what runs it)
PEERS = {
    "ants-affine": ("ants", "antspyx", _ants("Affine")),
    "ants-syn": ("ants", "antspyx", _ants("SyN")),
    "ants-syn-cc": ("ants", "antspyx", _ants("SyN", syn_metric="CC", syn_sampling=4)),
    "ants-registration-syn": ("ants", "antspyx", _ants("antsRegistrationSyN[s]")),
    "elastix-bspline": ("itk", "itk-elastix", _elastix),
    "voxelmorph-layers": ("voxelmorph", "voxelmorph", _voxelmorph),
}
