"""Mesh files read back by other libraries, and the label map against the meshes' volumes."""

import json

import nibabel
import numpy as np
import pytest
import trimesh

from lumbar_ext.errors import InputError
from lumbar_ext.mesh.files import write_ply
from lumbar_ext.report.viewer_files import label_volume, write_gltf_scene, write_label_map

SPHERE = trimesh.creation.icosphere(4, radius=12.0)
MESHES = {"L2": SPHERE.vertices + np.array([5.0, -3.0, 40.0]), "L3": SPHERE.vertices + np.array([2.0, 4.0, 0.0])}


def test_ply_holds_the_mesh_and_its_scalars(tmp_path):
    scalars = np.linspace(0, 1, len(SPHERE.vertices))
    write_ply(tmp_path / "m.ply", MESHES["L2"], SPHERE.faces, {"sd_mm": scalars})
    again = trimesh.load(tmp_path / "m.ply", process=False)
    assert again.vertices == pytest.approx(MESHES["L2"], abs=1e-4)
    assert np.array_equal(again.faces, SPHERE.faces)
    assert again.metadata["_ply_raw"]["vertex"]["data"]["sd_mm"].ravel() == pytest.approx(scalars, abs=1e-6)


def test_a_scalar_of_another_length_is_refused(tmp_path):
    with pytest.raises(InputError, match="sd_mm"):
        write_ply(tmp_path / "m.ply", SPHERE.vertices, SPHERE.faces, {"sd_mm": np.zeros(3)})


def test_the_scene_is_in_metres_with_y_up_and_one_node_a_level(tmp_path):
    write_gltf_scene(tmp_path / "scene.glb", MESHES, SPHERE.faces)
    scene = trimesh.load(tmp_path / "scene.glb")
    assert set(scene.geometry) == {"L2", "L3"}
    centre = scene.geometry["L2"].vertices.mean(0) * 1000
    # X front, Y left, Z up become X left, Y up, Z front.
    assert centre == pytest.approx([-3, 40, 5], abs=0.01)


@pytest.mark.parametrize("spacing_mm", [1.0, 0.7])
def test_labels_fill_the_meshes(spacing_mm):
    labels, origin = label_volume(MESHES, SPHERE.faces, spacing_mm)
    for value, level in ((21, "L2"), (22, "L3")):
        inside = np.argwhere(labels == value)
        assert len(inside) * spacing_mm**3 == pytest.approx(SPHERE.volume, rel=0.02)
        assert origin + inside.mean(0) * spacing_mm == pytest.approx(MESHES[level].mean(0), abs=0.1)


def test_the_label_map_has_niftis_axes(tmp_path):
    write_label_map(tmp_path / "labels.nii.gz", MESHES, SPHERE.faces)
    image = nibabel.load(tmp_path / "labels.nii.gz")
    places = image.affine[:3, :3] @ np.argwhere(np.asarray(image.dataobj) == 21).mean(0) + image.affine[:3, 3]
    # World X front, Y left, Z up: right is minus left.
    assert places == pytest.approx([3.0, 5.0, 40.0], abs=0.1)
    assert np.linalg.det(image.affine[:3, :3]) > 0
    assert json.dumps(nibabel.aff2axcodes(image.affine)) == json.dumps(("A", "L", "S"))
