import numpy as np
import pytest
import trimesh

from lumbar_ext.errors import InputError
from lumbar_ext.mesh.surface import Surface, surface_distance_mm
from lumbar_ext.shape.sources.vertebra_file import guess_unit, load_vertebra


@pytest.fixture
def export(vertebra, tmp_path):
    """A function that writes changed copies of the analytic vertebra."""

    def write(change=None, scale=1.0, suffix="ply", keep=None):
        mesh = vertebra.with_vertices(vertebra.vertices_mm * scale).to_trimesh()
        if keep is not None:
            mesh.update_faces(keep(vertebra.vertices_mm[vertebra.triangles].mean(axis=1)))
        if change is not None:
            change(mesh)
        mesh.export(tmp_path / f"v.{suffix}")
        return tmp_path / f"v.{suffix}"

    return write


def test_a_good_mesh_is_left_alone(export, vertebra):
    loaded = load_vertebra(export())
    assert loaded.notes == ()
    assert loaded.surface.volume_mm3 == pytest.approx(vertebra.volume_mm3, rel=1e-5)


@pytest.mark.parametrize(("unit", "mm"), [("m", 1000), ("cm", 10), ("um", 0.001)])
def test_units_are_told_by_the_size_of_a_vertebra(export, vertebra, unit, mm):
    loaded = load_vertebra(export(scale=1 / mm))
    assert loaded.mm_per_unit == mm
    assert f"unit taken as {unit}" in loaded.notes[0]
    assert np.ptp(loaded.surface.vertices_mm, axis=0) == pytest.approx(np.ptp(vertebra.vertices_mm, axis=0), rel=1e-4)


def test_a_wrong_unit_and_an_impossible_size_are_refused(export):
    with pytest.raises(InputError, match="looks like 'm'"):
        load_vertebra(export(scale=0.001), "mm")
    with pytest.raises(InputError, match="expected a lumbar vertebra of 40-170 mm"):
        load_vertebra(export(scale=3.0))
    with pytest.raises(InputError, match="unit 'inch' is unknown"):
        load_vertebra(export(), "inch")


def test_units_do_not_overlap():
    assert [guess_unit(e) for e in (90, 9.0, 0.09, 90_000, 25, 0.9)] == ["mm", "cm", "m", "um", None, None]


def test_inward_normals_are_turned_outward(export, vertebra):
    loaded = load_vertebra(export(lambda mesh: mesh.invert()))
    assert loaded.surface.volume_mm3 == pytest.approx(vertebra.volume_mm3, rel=1e-5)
    assert any("turned outward" in note for note in loaded.notes)


def test_triangles_of_mixed_orientation_are_turned_the_same_way(export, vertebra):
    def flip_some(mesh):
        mesh.faces[::7] = mesh.faces[::7, ::-1]

    loaded = load_vertebra(export(flip_some))
    assert loaded.surface.volume_mm3 == pytest.approx(vertebra.volume_mm3, rel=1e-5)
    assert any("same way round" in note for note in loaded.notes)


def test_lost_vertices_and_small_holes_are_closed(export, vertebra):
    def lose(mesh):
        mesh.vertices[[100, 5000]] = np.nan

    loaded = load_vertebra(export(lose))
    assert loaded.surface.is_watertight
    assert surface_distance_mm(loaded.surface, vertebra).max() < 0.7
    assert len(loaded.notes) == 2 and "2 vertices that were not finite" in loaded.notes[0]


def test_too_many_lost_vertices_are_refused(export):
    def lose(mesh):
        mesh.vertices[::10] = np.inf

    with pytest.raises(InputError, match="not finite"):
        load_vertebra(export(lose))


def test_a_large_hole_is_refused_with_its_size(export):
    with pytest.raises(InputError, match="is open, its largest hole is"):
        load_vertebra(export(keep=lambda centres: centres[:, 2] < 10))


def test_a_small_hole_is_closed(export, vertebra):
    loaded = load_vertebra(export(keep=lambda centres: np.linalg.norm(centres - [0, 0, 14], axis=1) > 5))
    assert loaded.surface.is_watertight
    assert loaded.surface.volume_mm3 == pytest.approx(vertebra.volume_mm3, rel=0.01)
    assert "closed" in loaded.notes[0]


@pytest.mark.parametrize(("subdivisions", "refused"), [(3, False), (1, True)])
def test_edges_of_many_triangles_are_tolerated_only_if_few(tmp_path, subdivisions, refused):
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=40)
    # Two edges from opposite sides become one that four triangles share, twice.
    for first, second in ((0, len(mesh.faces) // 2), (5, len(mesh.faces) - 9)):
        onto = np.arange(len(mesh.vertices))
        onto[mesh.faces[second][:2]] = mesh.faces[first][:2][::-1]
        mesh.faces = onto[mesh.faces]
    mesh.export(tmp_path / "pinched.ply")
    if refused:
        with pytest.raises(InputError, match="belong to more than two triangles"):
            load_vertebra(tmp_path / "pinched.ply")
    else:
        assert any("more than two triangles: left" in note for note in load_vertebra(tmp_path / "pinched.ply").notes)


@pytest.mark.parametrize("content", [b"", b"not a mesh", b"solid x\nendsolid x\n"])
def test_unreadable_and_empty_files_are_named(tmp_path, content):
    (tmp_path / "a_L1.stl").write_bytes(content)
    with pytest.raises(
        InputError, match=r"a_L1\.stl: (cannot be read|holds no triangles|an empty file|10 bytes, expected)"
    ):
        load_vertebra(tmp_path / "a_L1.stl")


def test_the_largest_of_several_pieces_is_taken(export, tmp_path, vertebra):
    crumb = trimesh.creation.icosphere(radius=2)
    crumb.apply_translation([60, 0, 0])
    trimesh.util.concatenate([trimesh.load(export(), process=False), crumb]).export(tmp_path / "two.stl")
    surface = load_vertebra(tmp_path / "two.stl").surface
    assert isinstance(surface, Surface)
    assert surface.volume_mm3 == pytest.approx(vertebra.volume_mm3, rel=1e-4)
