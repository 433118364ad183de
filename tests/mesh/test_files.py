"""STL files: what is written is read back, by us and by an independent reader."""

import numpy as np
import pytest
import trimesh

from lumbar_ext.errors import InputError
from lumbar_ext.mesh.files import read_mesh, write_stl

TETRAHEDRON = np.array([[0, 0, 0], [30, 0, 0], [0, 20, 0], [0, 0, 10.5]])
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def test_round_trip_keeps_every_corner(tmp_path):
    sphere = trimesh.creation.icosphere(subdivisions=2, radius=25.0)
    write_stl(tmp_path / "s.stl", sphere.vertices, sphere.faces)
    vertices, triangles = read_mesh(tmp_path / "s.stl")
    assert vertices.shape == sphere.vertices.shape and triangles.dtype == np.int32
    np.testing.assert_allclose(vertices[triangles], sphere.triangles, atol=1e-5)


def test_an_independent_reader_sees_the_same_solid(tmp_path):
    write_stl(tmp_path / "t.stl", TETRAHEDRON, FACES)
    assert (tmp_path / "t.stl").read_bytes()[:80].rstrip().endswith(b"X front, Y left, Z up")
    mesh = trimesh.load(tmp_path / "t.stl")
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(30 * 20 * 10.5 / 6)
    assert (tmp_path / "t.stl").stat().st_size == 84 + 50 * 4


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".off", ".stl_ascii"])
def test_other_formats_are_read(tmp_path, suffix):
    path = tmp_path / f"m{suffix.removesuffix('_ascii')}"
    mesh = trimesh.Trimesh(TETRAHEDRON, FACES, process=False)
    path.write_bytes(mesh.export(file_type="stl_ascii" if "ascii" in suffix else suffix[1:]).encode()) if suffix in (
        ".obj",
        ".off",
        ".stl_ascii",
    ) else mesh.export(path)
    vertices, triangles = read_mesh(path)
    np.testing.assert_allclose(vertices[triangles], TETRAHEDRON[FACES], atol=1e-5)


@pytest.mark.parametrize(
    "vertices, faces, message",
    [
        (TETRAHEDRON, np.zeros((0, 3), int), "no triangle"),
        (TETRAHEDRON, FACES + 1, "names vertex 4, expected 0 to 3"),
        (np.where(TETRAHEDRON == 30, np.nan, TETRAHEDRON), FACES, "1 vertices that are not finite"),
        (TETRAHEDRON[:, :2], FACES, "expected vertices"),
    ],
)
def test_impossible_meshes_are_not_written(tmp_path, vertices, faces, message):
    with pytest.raises(InputError, match=message):
        write_stl(tmp_path / "bad.stl", vertices, faces)
    assert not any(tmp_path.iterdir())


TEXT = trimesh.Trimesh(TETRAHEDRON, FACES, process=False).export(file_type="stl_ascii")


def test_of_damaged_normals_in_a_text_nothing_is_heard(tmp_path, caplog, capfd):
    (tmp_path / "a.stl").write_text(TEXT.replace("normal 0.", "normal x", 1))
    vertices, triangles = read_mesh(tmp_path / "a.stl")
    np.testing.assert_allclose(vertices[triangles], TETRAHEDRON[FACES], atol=1e-5)
    assert caplog.records == [] and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("text", [TEXT[: len(TEXT) // 2], TEXT + TEXT[: len(TEXT) // 2]])
def test_a_text_that_is_cut_short_is_refused(tmp_path, text):
    (tmp_path / "a.stl").write_text(text)
    with pytest.raises(InputError, match=r"a\.stl: cut short"):
        read_mesh(tmp_path / "a.stl")


@pytest.mark.parametrize("name, content", [("a.stl", b"solid nothing"), ("a.obj", b""), ("a.xyz", b"?")])
def test_files_that_are_no_mesh_are_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_mesh(tmp_path / name)
    with pytest.raises(InputError, match="no such file, expected a mesh"):
        read_mesh(tmp_path / "none.stl")


@pytest.mark.parametrize("change", [-1, -50, 1, 50, 300])
def test_a_binary_stl_that_its_triangles_do_not_fill_is_refused(tmp_path, change):
    write_stl(tmp_path / "a.stl", TETRAHEDRON, FACES)
    content = (tmp_path / "a.stl").read_bytes()
    (tmp_path / "a.stl").write_bytes(content[:change] if change < 0 else content + bytes(change))
    with pytest.raises(InputError, match=r"a\.stl: \d+ bytes, expected 284 for the 4 triangles of its header"):
        read_mesh(tmp_path / "a.stl")


def test_a_binary_stl_may_begin_as_a_text_does(tmp_path):
    write_stl(tmp_path / "a.stl", TETRAHEDRON, FACES)
    content = (tmp_path / "a.stl").read_bytes()
    (tmp_path / "a.stl").write_bytes(b"solid exported".ljust(80) + content[80:])
    assert len(read_mesh(tmp_path / "a.stl")[1]) == 4
