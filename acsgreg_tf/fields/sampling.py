"""Linear sampling of volumes [X, Y, Z, C]: at points, through a displacement, an affine, or both.

Outside the volume the nearest edge voxel is taken.
"""

import numpy as np

from acsgreg_tf.fields.kernels import in_slabs, kernel, locate

__all__ = ["at", "displace", "look_up", "sample", "warp", "warp_affine", "warp_jointly"]


@kernel
def at(volume: np.ndarray, x: float, y: float, z: float, out: np.ndarray) -> None:
    """Write the volume's channels at one point to `out` (C,); for use inside kernels."""
    i, di, fx = locate(x, volume.shape[0])
    j, dj, fy = locate(y, volume.shape[1])
    k, dk, fz = locate(z, volume.shape[2])
    gx, gy, gz = np.float32(1) - fx, np.float32(1) - fy, np.float32(1) - fz
    a, b, c, d = gx * gy * gz, gx * gy * fz, gx * fy * gz, gx * fy * fz
    e, f, g, h = fx * gy * gz, fx * gy * fz, fx * fy * gz, fx * fy * fz
    for n in range(volume.shape[3]):
        out[n] = (
            a * volume[i, j, k, n]
            + b * volume[i, j, k + dk, n]
            + c * volume[i, j + dj, k, n]
            + d * volume[i, j + dj, k + dk, n]
            + e * volume[i + di, j, k, n]
            + f * volume[i + di, j, k + dk, n]
            + g * volume[i + di, j + dj, k, n]
            + h * volume[i + di, j + dj, k + dk, n]
        )


@kernel
def _sample(volume: np.ndarray, points: np.ndarray, out: np.ndarray, start: int, stop: int) -> None:
    for n in range(start, stop):
        at(volume, points[n, 0], points[n, 1], points[n, 2], out[n])


@kernel
def _warp(volume: np.ndarray, field: np.ndarray, matrix: np.ndarray, out: np.ndarray, start: int, stop: int) -> None:
    for i in range(start, stop):
        for j in range(field.shape[1]):
            for k in range(field.shape[2]):
                x, y, z = i + field[i, j, k, 0], j + field[i, j, k, 1], k + field[i, j, k, 2]
                at(
                    volume,
                    matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z + matrix[0, 3],
                    matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z + matrix[1, 3],
                    matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z + matrix[2, 3],
                    out[i, j, k],
                )


@kernel
def _displace(
    points: np.ndarray, matrix: np.ndarray, field: np.ndarray, room: float, out: np.ndarray, start: int, stop: int
) -> None:
    step = np.empty(3, np.float32)
    for n in range(start, stop):
        a, b, c = points[n, 0], points[n, 1], points[n, 2]
        x = matrix[0, 0] * a + matrix[0, 1] * b + matrix[0, 2] * c + matrix[0, 3]
        y = matrix[1, 0] * a + matrix[1, 1] * b + matrix[1, 2] * c + matrix[1, 3]
        z = matrix[2, 0] * a + matrix[2, 1] * b + matrix[2, 2] * c + matrix[2, 3]
        out[n, 0], out[n, 1], out[n, 2] = a, b, c
        in_x = -room <= x < field.shape[0] - 1 + room
        in_y = -room <= y < field.shape[1] - 1 + room
        in_z = -room <= z < field.shape[2] - 1 + room
        if in_x and in_y and in_z:
            at(field, x, y, z, step)
            for axis in range(3):
                out[n, axis] += step[axis]


@kernel
def _look_up(
    image: np.ndarray,
    points: np.ndarray,
    matrix: np.ndarray,
    room: float,
    fill: float,
    out: np.ndarray,
    start: int,
    stop: int,
) -> None:
    for n in range(start, stop):
        a, b, c = points[n, 0], points[n, 1], points[n, 2]
        x = matrix[0, 0] * a + matrix[0, 1] * b + matrix[0, 2] * c + matrix[0, 3]
        y = matrix[1, 0] * a + matrix[1, 1] * b + matrix[1, 2] * c + matrix[1, 3]
        z = matrix[2, 0] * a + matrix[2, 1] * b + matrix[2, 2] * c + matrix[2, 3]
        in_x = -room <= x < image.shape[0] - 1 + room
        in_y = -room <= y < image.shape[1] - 1 + room
        in_z = -room <= z < image.shape[2] - 1 + room
        if not (in_x and in_y and in_z):
            out[n] = fill
            continue
        i, di, fx = locate(x, image.shape[0])
        j, dj, fy = locate(y, image.shape[1])
        k, dk, fz = locate(z, image.shape[2])
        total = 0.0
        for p in range(2):
            for q in range(2):
                for r in range(2):
                    weight = (fx if p else 1 - fx) * (fy if q else 1 - fy) * (fz if r else 1 - fz)
                    total += weight * image[i + p * di, j + q * dj, k + r * dk]
        out[n] = total


def as_volume(values: np.ndarray) -> np.ndarray:
    """Values [X, Y, Z, C] as the kernels take them: float32, one voxel's channels side by side."""
    return np.ascontiguousarray(values, np.float32)


def about_origin(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """An affine [3, 4] about a grid's centre, (shape - 1) / 2, as one about voxel 0, [3, 4] float64."""
    centre = (np.asarray(shape, float) - 1) / 2
    affine = np.asarray(affine, float)
    return np.column_stack([affine[:, :3], affine[:, 3] + centre - affine[:, :3] @ centre])


def sample(volume: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A volume [X, Y, Z, C] at points [..., 3], voxels: [..., C] float32."""
    points = np.asarray(points, float)
    flat = np.ascontiguousarray(points.reshape(-1, 3))
    out = np.empty((len(flat), volume.shape[-1]), np.float32)
    in_slabs(_sample, len(flat), as_volume(volume), flat, out, least=4096)
    return out.reshape([*points.shape[:-1], volume.shape[-1]])


def look_up(image: np.ndarray, points: np.ndarray, to_index: np.ndarray, room: float, fill: float) -> np.ndarray:
    """An image sampled linearly at points of a frame of their own.

    Args:
        image: [X, Y, Z], any plain number type.
        points: [..., 3] float64.
        to_index: [3, 4], from points to voxels of the image.
        room: Voxels beyond the outermost centres where the border value still holds.
        fill: The value farther out.

    Returns:
        [...] float32.
    """
    if image.dtype not in (np.float32, np.int16, np.uint8):  # each type is compiled apart
        image = image.astype(np.float32)
    matrix = np.array(to_index, np.float64)
    if image.flags.f_contiguous:  # as nibabel reads them: the same memory with its axes the other way round
        image, matrix = image.T, np.ascontiguousarray(matrix[::-1])
    flat = np.ascontiguousarray(points.reshape(-1, 3), np.float64)
    out = np.empty(len(flat), np.float32)
    in_slabs(_look_up, len(flat), np.ascontiguousarray(image), flat, matrix, room, float(fill), out, least=4096)
    return out.reshape(points.shape[:-1])


def displace(points: np.ndarray, to_index: np.ndarray, displacement: np.ndarray, room: float) -> np.ndarray:
    """Points moved by a displacement that has a unit and a frame of its own.

    Args:
        points: [..., 3] float64.
        to_index: [3, 4], from points to voxels of the displacement's grid.
        displacement: [X, Y, Z, 3], in the points' unit.
        room: Voxels beyond the outermost centres where the border value still holds; points farther out do not move.
    """
    flat = np.ascontiguousarray(points.reshape(-1, 3), np.float64)
    out = np.empty_like(flat)
    matrix = np.ascontiguousarray(to_index, np.float64)
    in_slabs(_displace, len(flat), flat, matrix, as_volume(displacement), room, out, least=4096)
    return out.reshape(points.shape)


def warp(volume: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """out(x) = volume(x + u(x)): [x, y, z, C] float32 on the displacement's grid."""
    return _jointly(volume, np.eye(3, 4), displacement)


def warp_affine(volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """A volume [X, Y, Z, C] under an affine [3, 4] in voxels about its grid's centre: [X, Y, Z, C] float32."""
    still = np.zeros((*volume.shape[:3], 3), np.float32)
    return warp_jointly(volume, affine, still)


def warp_jointly(volume: np.ndarray, affine: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """out(x) = volume(A(x + u(x))), sampled once: p_fixed -> phi -> A -> moving.

    Args:
        volume: [X, Y, Z, C].
        affine: [3, 4], voxels about the centre of the displacement's grid.
        displacement: [x, y, z, 3].

    Returns:
        [x, y, z, C] float32.
    """
    return _jointly(volume, about_origin(affine, displacement.shape[:3]), displacement)


def _jointly(volume: np.ndarray, matrix: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    out = np.empty((*displacement.shape[:3], volume.shape[-1]), np.float32)
    in_slabs(_warp, out.shape[0], as_volume(volume), as_volume(displacement), matrix, out)
    return out
