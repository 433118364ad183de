"""Mesh files read back by other libraries, and the label map against the meshes' volumes."""

import json

import nibabel
import numpy as np
import pytest
import trimesh

from lumbar_ext.errors import InputError
from lumbar_ext.mesh.files import write_ply
from lumbar_ext.report.colours import VIRIDIS
from lumbar_ext.report.overlay import LEVEL_COLOURS
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


def test_the_scene_has_the_colours_of_the_uncertainty_and_says_their_scale(tmp_path):
    """L3's vertices from certain to the scale's end; L2, whose uncertainty is unknown, keeps its level's colour."""
    spread = {"L3": np.linspace(0, 2.5, len(SPHERE.vertices))}
    write_gltf_scene(tmp_path / "scene.glb", MESHES, SPHERE.faces, vertex_sd_mm=spread)
    document, binary = glb_parts(tmp_path / "scene.glb")
    meshes = {mesh["name"]: mesh["primitives"][0] for mesh in document["meshes"]}
    materials = {level: document["materials"][own["material"]] for level, own in meshes.items()}
    assert "COLOR_0" not in meshes["L2"]["attributes"]
    assert materials["L3"]["name"] == "L3, uncertainty 0 (dark) to 2.5 mm (bright)"
    assert materials["L3"]["pbrMetallicRoughness"].get("baseColorFactor", [1, 1, 1, 1]) == [1, 1, 1, 1]
    accessor = document["accessors"][meshes["L3"]["attributes"]["COLOR_0"]]
    assert (accessor["componentType"], accessor["type"], accessor["normalized"]) == (5121, "VEC4", True)
    start = document["bufferViews"][accessor["bufferView"]]["byteOffset"]
    light = np.frombuffer(binary[start : start + 4 * accessor["count"]], np.uint8).reshape(-1, 4) / 255
    shown = shown_srgb(light)
    places = np.linspace(0, len(shown) - 1, 5).round().astype(int)
    assert shown[places, :3] == pytest.approx(np.array(VIRIDIS), abs=7)
    orange = np.array(materials["L2"]["pbrMetallicRoughness"]["baseColorFactor"][:3])
    assert shown_srgb(orange) == pytest.approx(np.array(LEVEL_COLOURS["L2"]), abs=1)


def shown_srgb(light):
    """What a screen shows, 0..255, of shares of light: IEC 61966-2-1."""
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def glb_parts(path):
    """The JSON document and the binary part of a file: glTF 2.0, 4.4, a header of 12 bytes, then chunks."""
    content = path.read_bytes()
    length = int.from_bytes(content[12:16], "little")
    return json.loads(content[20 : 20 + length]), content[28 + length :]


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
