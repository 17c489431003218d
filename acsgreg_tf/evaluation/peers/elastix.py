"""elastix (Klein et al., IEEE TMI 2010), through itk-elastix."""

import tempfile
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import SimpleITK as sitk

from acsgreg_tf.evaluation.peers.base import Alignment, Peer, Side
from acsgreg_tf.geometry import Affine, DenseField, Grid, Transform, affine_to_network, field_to_network
from acsgreg_tf.io.transforms import from_sitk_transform, to_sitk


@dataclass(frozen=True)
class ElastixPeer(Peer):
    """elastix's default parameters for "affine", then for "bspline".

    Args:
        settings: Parameters that replace defaults, as (name, value) pairs.
    """

    settings: tuple[tuple[str, Any], ...] = ()

    module: ClassVar[str] = "itk"
    package: ClassVar[str] = "itk-elastix"

    def align_on(self, grid: Grid, fixed: Side, moving: Side) -> Alignment:
        """Register the images; the transform is taken apart so that the affine comes last."""
        import itk

        images = [_to_itk(itk, side.image, grid) for side in (fixed, moving)]
        parameters = itk.ParameterObject.New()
        for stage in ("affine", "bspline"):
            chosen = parameters.GetDefaultParameterMap(stage)
            for name, value in self.settings:
                chosen[name] = (str(value),)
            parameters.AddParameterMap(chosen)
        begun = time.perf_counter()
        _, result = itk.elastix_registration_method(*images, parameter_object=parameters, log_to_console=False)
        seconds = time.perf_counter() - begun
        with tempfile.TemporaryDirectory() as folder:  # transformix leaves a file, else in the working folder
            field = itk.transformix_deformation_field(images[1], result, output_directory=folder)
        total = _field(itk.array_from_image(field), fixed.image, grid)
        affine = _affine(result.GetParameterMap(0))
        # elastix applies the affine first and the B-spline after it; with phi = A^-1 T the affine comes last.
        points = grid.points()
        phi = affine.inverse().apply(total.apply(points)) - points
        phi = field_to_network(DenseField(phi.astype(np.float32), grid))
        return Alignment(affine_to_network(affine, grid, grid), phi, None, seconds)


def _to_itk(itk: Any, volume: np.ndarray, grid: Grid) -> Any:
    like = to_sitk(volume, grid)
    image = itk.image_from_array(np.ascontiguousarray(volume.T))
    image.SetOrigin(like.GetOrigin())
    image.SetSpacing(like.GetSpacing())
    image.SetDirection(np.reshape(like.GetDirection(), (3, 3)))
    return image


def _affine(parameters: Any) -> Affine:
    """The Affine of elastix's AffineTransform: matrix, translation and centre in LPS mm."""
    numbers, centre = (
        [float(value) for value in parameters[name]] for name in ("TransformParameters", "CenterOfRotationPoint")
    )
    affine = from_sitk_transform(sitk.AffineTransform(numbers[:9], numbers[9:], centre))
    assert isinstance(affine, Affine)
    return affine


def _field(vectors: np.ndarray, fixed: np.ndarray, grid: Grid) -> Transform:
    """The field of transformix's displacements (Z, Y, X, 3) in LPS mm."""
    image = sitk.GetImageFromArray(vectors.astype(np.float64), isVector=True)
    image.CopyInformation(to_sitk(fixed, grid))
    return from_sitk_transform(sitk.DisplacementFieldTransform(image))


PEERS = (ElastixPeer("elastix-bspline"),)
