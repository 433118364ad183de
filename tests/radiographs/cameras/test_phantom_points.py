"""From marks on two films to the calibration of both."""

import numpy as np
import pytest
from PIL import Image

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import BiplanarGeometry, ConeBeam
from lumbar_ext.io import read_calibration
from lumbar_ext.radiographs.cameras.phantom_points import write_phantom_calibration

TRUE = BiplanarGeometry(
    ConeBeam([1000, 10, 0], [-200, -150, 180], [0, 1, 0], [0, 0, -1], (0.8, 0.8), (376, 300)),
    ConeBeam([5, 1000, 0], [140, -200, 180], [-1, 0, 0], [0, 0, -1], (0.8, 0.8), (320, 512)),
)
MARKERS_MM = np.random.default_rng(0).uniform(-90, 90, (9, 3))


def write(folder, header="view,x_mm,y_mm,z_mm,u_px,v_px", marks=MARKERS_MM, exchanged=False):
    """The films and the marks; `exchanged` swaps two of the lateral view."""
    lines = [header]
    for view in VIEWS:
        uv = TRUE[view].project(marks)
        if exchanged and view == "lat":
            uv[[0, 1]] = uv[[1, 0]]
        lines += [f"{view}," + ",".join(f"{value:.4f}" for value in (*p, *q)) for p, q in zip(marks, uv, strict=True)]
        grey = np.random.default_rng(1).integers(0, 255, TRUE[view].size_px[::-1]).astype(np.uint8)
        Image.fromarray(grey).save(folder / f"{view}.png")
    (folder / "points.csv").write_text("\n".join(lines) + "\n")
    return [str(folder / name) for name in ("points.csv", "ap.png", "lat.png", "calibration.json")]


def test_marks_give_the_calibration(tmp_path, capsys):
    write_phantom_calibration(*write(tmp_path), pixel_spacing_mm=0.8)
    read = read_calibration(tmp_path / "calibration.json")
    for view in VIEWS:
        np.testing.assert_allclose(read[view].project(MARKERS_MM), TRUE[view].project(MARKERS_MM), atol=1e-2)
    assert "ap: 9 markers" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change, message",
    [
        ({"header": "view,x,y,z,u,v"}, "expected view, x_mm"),
        ({"marks": MARKERS_MM[:5]}, "ap view: 5 points, expected at least 6"),
        ({"exchanged": True}, "lat view: .* exchanged"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        write_phantom_calibration(*write(tmp_path, **change), pixel_spacing_mm=0.8)
    assert not (tmp_path / "calibration.json").exists()


def test_a_film_without_spacing_needs_one(tmp_path):
    with pytest.raises(InputError, match=r"ap.png: states no pixel spacing, expected --pixel_spacing_mm"):
        write_phantom_calibration(*write(tmp_path))
