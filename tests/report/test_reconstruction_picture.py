"""The picture of a finished reconstruction."""

import numpy as np
import pytest
import trimesh
from PIL import Image

from lumbar_ext.errors import InputError
from lumbar_ext.mesh.files import write_stl
from lumbar_ext.report.overlay import LEVEL_COLOURS
from lumbar_ext.report.reconstruction_picture import draw_picture


def test_overlays_and_meshes_stand_side_by_side_each_level_in_its_colour(tmp_path):
    Image.new("RGB", (300, 600), "red").save(tmp_path / "overlay_ap.png")
    Image.new("RGB", (600, 300), "lime").save(tmp_path / "overlay_lat.png")
    ball = trimesh.creation.icosphere(subdivisions=3, radius=15.0)
    for level, height in (("L1", 40.0), ("L2", 0.0)):
        write_stl(tmp_path / f"{level}.stl", ball.vertices + np.array([0, 0, height]), ball.faces)
    draw_picture(str(tmp_path), str(tmp_path / "picture.png"))
    picture = np.asarray(Image.open(tmp_path / "picture.png")).astype(int)
    assert picture.shape == (640, 3 * 640, 3)
    ap, lat, meshes = np.split(picture, 3, axis=1)
    assert ap[320, 320].tolist() == [255, 0, 0] and ap[320, 20].tolist() == [0, 0, 0]
    assert lat[320, 320].tolist() == [0, 255, 0] and lat[20, 320].tolist() == [0, 0, 0]
    for level, row in (("L1", 180), ("L2", 460)):
        np.testing.assert_allclose(meshes[row, 320], LEVEL_COLOURS[level], atol=25)


def test_a_folder_without_a_reconstruction_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no reconstruction"):
        draw_picture(str(tmp_path), str(tmp_path / "picture.png"))
