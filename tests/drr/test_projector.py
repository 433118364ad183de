import numpy as np
import pytest
import trimesh

from lumbar_ext.drr import MeshProjector, Window, path_length

NAMES = ("ap", "lat", "ap flipped", "lat upside down", "ap transposed", "lat turned, coarse")
BALL = trimesh.creation.icosphere(subdivisions=5, radius=1.0)


def turned(mesh, seed=0, shift=(5.0, -8.0, 12.0)):
    """A mesh turned at random, so that no edge lies along pixels."""
    rotation = trimesh.transformations.random_rotation_matrix(np.random.default_rng(seed).random(3))[:3, :3]
    return np.asarray(mesh.vertices) @ rotation.T + np.array(shift), np.asarray(mesh.faces, dtype=np.int32), rotation


def sphere_chord(origin, directions, centre, radius):
    along = directions @ (centre - origin)
    squared = ((centre - origin) ** 2).sum() - along**2
    return 2 * np.sqrt(np.clip(radius**2 - squared, 0, None)), np.sqrt(squared)


def slab_chord(origin, directions, half_size):
    """Length of rays inside a box around zero."""
    with np.errstate(divide="ignore"):
        a, b = (-half_size - origin) / directions, (half_size - origin) / directions
    return np.clip(np.maximum(a, b).min(-1) - np.minimum(a, b).max(-1), 0, None)


@pytest.mark.parametrize("name", NAMES)
def test_sphere(cameras, rays, name):
    centre = np.array([10.0, -20.0, 30.0])
    lengths = path_length(np.asarray(BALL.vertices) * 25 + centre, BALL.faces.astype(np.int32), cameras[name])
    expected, distance = sphere_chord(*rays(cameras[name]), centre, 25.0)
    inside = distance < 0.9 * 25
    assert inside.sum() > 300
    np.testing.assert_allclose(lengths[inside], expected[inside], rtol=0.01)
    assert (lengths[distance > 25] == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_box(cameras, rays, name):
    half_size, shift = np.array([20.0, 14.0, 30.0]), np.array([5.0, -8.0, 12.0])
    vertices, triangles, rotation = turned(trimesh.creation.box(2 * half_size), shift=shift)
    origin, directions = rays(cameras[name])
    expected = slab_chord((origin - shift) @ rotation, directions @ rotation, half_size)
    lengths = path_length(vertices, triangles, cameras[name])
    # Away from edges: float32 sums of depths near 900 mm, not the shape, limit the agreement.
    inside = expected > 8
    assert inside.sum() > 300
    np.testing.assert_allclose(lengths[inside], expected[inside], rtol=0.01)
    assert np.abs(lengths - expected).max() < 0.02


@pytest.mark.parametrize("name", NAMES)
def test_cylinder(cameras, rays, name):
    radius, half_height, shift = 18.0, 25.0, np.array([5.0, -8.0, 12.0])
    mesh = trimesh.creation.cylinder(radius=radius, height=2 * half_height, sections=256)
    vertices, triangles, rotation = turned(mesh, seed=3, shift=shift)
    origin, directions = rays(cameras[name])
    origin, directions = (origin - shift) @ rotation, directions @ rotation
    a = (directions[..., :2] ** 2).sum(-1)
    b = directions[..., :2] @ origin[:2]
    discriminant = b**2 - a * (origin[:2] @ origin[:2] - radius**2)
    root = np.sqrt(np.clip(discriminant, 0, None))
    near, far = ((-half_height - origin[2]) / directions[..., 2], (half_height - origin[2]) / directions[..., 2])
    first = np.maximum((-b - root) / a, np.minimum(near, far))
    last = np.minimum((-b + root) / a, np.maximum(near, far))
    expected = np.where(discriminant > 0, np.clip(last - first, 0, None), 0)
    lengths = path_length(vertices, triangles, cameras[name])
    inside = (expected > 8) & (discriminant > 0.2 * (a * radius**2))
    assert inside.sum() > 300
    np.testing.assert_allclose(lengths[inside], expected[inside], rtol=0.01)


def moeller_trumbore(origin, directions, vertices, triangles):
    """Signed sum of hit distances of rays [N, 3]: an independent, plain length inside."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    edge1, edge2 = b - a, c - a
    lengths = np.zeros(len(directions))
    for i, direction in enumerate(directions):
        p = np.cross(direction, edge2)
        determinant = (edge1 * p).sum(-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            offset = origin - a
            u = (offset * p).sum(-1) / determinant
            q = np.cross(offset, edge1)
            v = q @ direction / determinant
            t = (edge2 * q).sum(-1) / determinant
        hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (determinant != 0)
        lengths[i] = -(np.sign(determinant) * t)[hit].sum()
    return lengths


@pytest.mark.parametrize("name", ["ap", "lat turned, coarse"])
def test_ragged_hollow_shape_against_plain_ray_casting(cameras, rays, name):
    directions = np.asarray(BALL.vertices)
    ragged = directions * (
        22 + 9 * np.sin(5 * directions[:, :1]) * np.cos(4 * directions[:, 1:2]) + 4 * directions[:, 2:]
    )
    hollow = np.concatenate([ragged, directions * 9])
    triangles = np.concatenate([BALL.faces, BALL.faces[:, ::-1] + len(ragged)]).astype(np.int32)
    lengths = path_length(hollow, triangles, cameras[name])
    rng = np.random.default_rng(0)
    rows, columns = np.nonzero(lengths > 0)
    chosen = rng.choice(len(rows), 60, replace=False)
    origin, pixel_directions = rays(cameras[name])
    sample = pixel_directions[rows[chosen], columns[chosen]]
    expected = moeller_trumbore(origin, sample, hollow, triangles)
    np.testing.assert_allclose(lengths[rows[chosen], columns[chosen]], expected, atol=0.02)


def test_lengths_add_up(cameras):
    first, triangles, _ = turned(trimesh.creation.icosphere(subdivisions=3, radius=20), 1)
    second = first + np.array([4, 11, -6])
    both = path_length(
        np.concatenate([first, second]), np.concatenate([triangles, triangles + len(first)]), cameras["ap"]
    )
    separate = path_length(first, triangles, cameras["ap"]) + path_length(second, triangles, cameras["ap"])
    np.testing.assert_allclose(both, separate, atol=2e-3)


@pytest.mark.parametrize("seed", range(5))
def test_exactly_zero_outside_the_silhouette(cameras, rays, seed):
    vertices, triangles, _ = turned(trimesh.creation.icosphere(subdivisions=4, radius=30), seed)
    for name in NAMES:
        lengths = path_length(vertices, triangles, cameras[name])
        _, distance = sphere_chord(*rays(cameras[name]), np.array([5.0, -8.0, 12.0]), 30.0)
        assert (lengths[distance > 30] == 0).all() and lengths.min() >= 0


def test_parts_outside_the_image_are_clipped(cameras):
    small = cameras["ap"].resampled(size_px=(60, 40), pixel_spacing_mm=(0.834, 0.834))
    vertices, triangles, _ = turned(trimesh.creation.icosphere(subdivisions=3, radius=40))
    whole = path_length(vertices, triangles, cameras["ap"])
    np.testing.assert_allclose(path_length(vertices, triangles, small), whole[236:276, 226:286], atol=2e-3)
    assert (path_length(vertices + np.array([0, 900, 0]), triangles, small) == 0).all()


def test_a_window_is_a_cutout(cameras):
    projector = MeshProjector(cameras["lat"])
    vertices, triangles, _ = turned(trimesh.creation.icosphere(subdivisions=3, radius=30))
    window = projector.window_around(cameras["lat"].project(vertices), margin_px=3)
    assert projector.window_of(vertices, margin_px=3) == window
    whole = projector.path_length(vertices, triangles)
    np.testing.assert_allclose(projector.path_length(vertices, triangles, window), whole[window.slices], atol=2e-3)
    outside = whole.copy()
    outside[window.slices] = 0
    assert (outside == 0).all() and window.columns < 130
    assert projector.window_around(np.array([[-90.0, 5], [-80, 9]]), 3).columns == 0
    assert projector.full_window == Window(0, 0, 512, 512)


@pytest.mark.parametrize("subdivisions", [2, 6])
def test_coarse_and_fine_triangles_at_the_border_are_those_of_a_larger_image(cameras, subdivisions):
    """Triangles within 2 x 2 pixels, larger ones and those at the border are added by different loops."""
    vertices, triangles, _ = turned(trimesh.creation.icosphere(subdivisions=subdivisions, radius=25))
    whole = path_length(vertices, triangles, cameras["ap"])
    rows, columns = np.nonzero(whole)
    # An image whose corner cuts the ball, and whose last row and column cut it, too.
    window = Window(int(columns.min()) + 7, int(rows.min()) + 9, int(np.ptp(columns)) - 20, int(np.ptp(rows)) - 24)
    part = MeshProjector(cameras["ap"]).path_length(vertices, triangles, window)
    np.testing.assert_allclose(part, whole[window.slices], atol=2e-3)
    assert part[-1].max() > 1 and part[:, -1].max() > 1 and part[0].max() > 1 and part[:, 0].max() > 1


def test_a_mesh_far_off_the_detector_changes_nothing(cameras):
    vertices, triangles, _ = turned(trimesh.creation.icosphere(subdivisions=4, radius=20))
    for shift in ((0, 5e3, 0), (0, -5e7, 0), (0, 0, 1e12)):
        assert (path_length(vertices + np.array(shift), triangles, cameras["ap"]) == 0).all()


def test_degenerate_triangles_change_nothing(cameras):
    vertices, triangles, _ = turned(trimesh.creation.icosphere(subdivisions=2, radius=20))
    flat = np.array([[0, 0, 5], [7, 7, 7], [3, 4, 3]], dtype=np.int32)
    np.testing.assert_array_equal(
        path_length(vertices, np.concatenate([triangles, flat]), cameras["ap"]),
        path_length(vertices, triangles, cameras["ap"]),
    )


@pytest.mark.parametrize("bad", [[950.0, 0, 0], [np.nan, 0, 0], [np.inf, 0, 0]])
def test_vertices_behind_the_source_are_refused(cameras, bad):
    vertices, triangles, _ = turned(trimesh.creation.icosphere(subdivisions=1, radius=20))
    vertices[3] = bad
    with pytest.raises(ValueError, match="not finite or not in front of the X-ray source"):
        path_length(vertices, triangles, cameras["ap"])


def test_inputs_are_left_alone_and_output_is_float32(cameras):
    vertices, triangles, _ = turned(trimesh.creation.icosphere(subdivisions=2, radius=20))
    before = vertices.copy(), triangles.copy()
    lengths = path_length(vertices.astype(np.float32), triangles[:, ::1], cameras["ap"])
    assert lengths.dtype == np.float32 and lengths.shape == (512, 512)
    np.testing.assert_array_equal(vertices, before[0])
    np.testing.assert_array_equal(triangles, before[1])


def test_silhouette_is_the_projected_outline(cameras):
    """The picture lies where the camera projects the mesh: pixel rule and axes of both agree."""
    vertices, triangles, _ = turned(trimesh.creation.icosphere(subdivisions=4, radius=25))
    for name in NAMES:
        rows, columns = np.nonzero(path_length(vertices, triangles, cameras[name]))
        uv = cameras[name].project(vertices)
        low, high = np.array([columns.min(), rows.min()]), np.array([columns.max(), rows.max()])
        assert (low >= uv.min(0)).all() and (low < uv.min(0) + 1.5).all()
        assert (high <= uv.max(0)).all() and (high > uv.max(0) - 1.5).all()
