"""The page of two studies of one person."""

import json
import re

import numpy as np
import pytest

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.geometry.axes import lps_from_world
from lumbar_ext.measurements.document import measurements_document, write_measurements
from lumbar_ext.measurements.uncertainty.assessment import assess_registration
from lumbar_ext.measurements.uncertainty.interval_calibration import Calibration
from lumbar_ext.measurements.values.definitions import DEFINITIONS
from lumbar_ext.mesh.files import write_ply, write_stl
from lumbar_ext.report.follow_up_page import follow_up
from tests.measurements.registered_fixture import SIZE, registration

STANDS = RigidTransform.identity()
MOVED = RigidTransform.from_euler(0.1, -0.2, 0.3, np.array([5.0, 6.0, 7.0]))


def written(folder, coefficients=(0.0, 0.0), moved=STANDS, levels=LEVELS):
    """The files of a reconstruction that a follow-up reads; the whole person may stand elsewhere."""
    result = registration(np.full(SIZE, 0.02), levels=levels, coefficients=coefficients)
    triangles = result.vertebrae[levels[0]].shape.surface.triangles
    calibration = Calibration({d.id: 1.0 for d in DEFINITIONS} | {"vertex": 1.0}, {})
    assessment = assess_registration(result, triangles, calibration=calibration)
    poses = {level: moved @ fit.world_from_vertebra for level, fit in result.vertebrae.items()}
    folder.mkdir()
    write_measurements(folder / "measurements.json", measurements_document(assessment, poses))
    for level, fit in result.vertebrae.items():
        vertices = moved.apply(fit.vertices_mm)
        write_stl(folder / f"{level}.stl", vertices, triangles)
        write_ply(folder / f"{level}.ply", lps_from_world(vertices), triangles, {})
    return str(folder)


def test_a_person_who_stands_elsewhere_has_not_changed(tmp_path, capsys):
    first, second = written(tmp_path / "a"), written(tmp_path / "b", moved=MOVED)
    follow_up(first, second, str(tmp_path / "out"))
    document = json.loads((tmp_path / "out" / "follow_up.json").read_text())
    assert "No change beyond measurement error" in document["summary"] and document["doubts"] == []
    assert document["summary"] in capsys.readouterr().out
    page = (tmp_path / "out" / "follow_up.html").read_text()
    assert "laid upon each other at L5" in page and document["summary"] in page
    assert all(link.startswith("data:image/") for link in re.findall(r'src="([^"]*)"', page))


def test_taller_vertebrae_are_named(tmp_path):
    """The first mode makes a body of 28 mm 5 % taller: 1.4 mm, known to much less."""
    first, second = written(tmp_path / "a"), written(tmp_path / "b", coefficients=(1.0, 0.0))
    follow_up(first, second, str(tmp_path / "out"), later=[first])
    document = json.loads((tmp_path / "out" / "follow_up.json").read_text())
    heights = [own for own in document["changes"] if own["id"] == "anterior_height"]
    assert len(heights) == len(LEVELS)
    for own in heights:
        assert own["differences"] == pytest.approx([1.4, 0.0], abs=0.01) and own["sure"] == [True, False]


def test_vertebrae_of_another_shape_are_doubted(tmp_path):
    first, second = written(tmp_path / "a"), written(tmp_path / "b", coefficients=(5.0, -5.0), levels=("L2", "L3"))
    follow_up(first, second, str(tmp_path / "out"))
    (doubt,) = json.loads((tmp_path / "out" / "follow_up.json").read_text())["doubts"]
    assert doubt.startswith(second) and doubt.endswith("are these studies of one person?")


def test_studies_without_a_common_vertebra_are_refused_and_nothing_is_written(tmp_path):
    first, second = written(tmp_path / "a", levels=("L1",)), written(tmp_path / "b", levels=("L2",))
    with pytest.raises(InputError, match="no vertebra in common"):
        follow_up(first, second, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
