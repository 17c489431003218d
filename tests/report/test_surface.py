import gzip
import struct

import numpy as np
import pytest

from acsgreg_tf.geometry import Grid
from acsgreg_tf.report.surface import MOST_MM, colours_of, distances_at, mz3, triangles

CENTRE, RADIUS = np.array([3.0, -20.0, 7.5]), 11.0


def ball(radius):
    grid = Grid((32, 34, 36), np.array([[1.0, 0, 0, -12.5], [0, 1, 0, -36.5], [0, 0, 1, -10], [0, 0, 0, 1]]))
    return (np.linalg.norm(grid.points() - CENTRE, axis=-1) - radius).astype(np.float32), grid


def test_a_ball_has_its_size_and_place_and_faces_outwards():
    vertices, faces = triangles(*ball(RADIUS))
    np.testing.assert_allclose(np.linalg.norm(vertices - CENTRE, axis=1), RADIUS, atol=0.05)
    a, b, c = (vertices[faces[:, corner]] - CENTRE for corner in range(3))
    volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6
    assert volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.01)


def test_no_surface_without_an_inside():
    distance, grid = ball(RADIUS)
    for empty in (np.ones_like(distance), np.full_like(distance, 5)):
        vertices, faces = triangles(empty, grid)
        assert len(vertices) == len(faces) == 0


def test_distances_between_two_balls():
    vertices, _ = triangles(*ball(RADIUS))
    np.testing.assert_allclose(distances_at(vertices, *ball(RADIUS - 1.5)), 1.5, atol=0.06)


def test_colours_run_from_no_distance_to_the_most():
    near, far, farther = colours_of([0, MOST_MM, 3 * MOST_MM])
    assert tuple(far) == tuple(farther) != tuple(near)
    assert near[3] == far[3] == 255


def test_an_mz3_file_holds_what_was_put_in():
    vertices, faces = triangles(*ball(RADIUS))
    colours = colours_of(np.linspace(0, 2, len(vertices)))
    data = gzip.decompress(mz3(vertices, faces, colours))
    magic, has, face_count, vertex_count, skip = struct.unpack("<HHIII", data[:16])
    assert (magic, has, skip) == (0x5A4D, 7, 0)
    parts = np.split(np.frombuffer(data[16:], np.uint8), np.cumsum([12 * face_count, 12 * vertex_count]))
    np.testing.assert_array_equal(parts[0].view("<i4").reshape(-1, 3), faces)
    np.testing.assert_array_equal(parts[1].view("<f4").reshape(-1, 3), vertices)
    np.testing.assert_array_equal(parts[2].reshape(-1, 4), colours)
