import numpy as np
import pytest

from lumbar_ext.anatomy import LANDMARKS
from lumbar_ext.shape.population.variation import PARAMETERS, Geometry, displacement_fields


@pytest.fixture(scope="module")
def geometry(reference):
    points = reference.surface.vertices_mm
    return Geometry(points, reference.landmarks_mm(points))


def moved_landmarks(reference, geometry, name):
    """Displacement of the landmarks by one unit of a parameter."""
    field = next(p.field(geometry) for p in PARAMETERS if p.name == name)
    return dict(zip(LANDMARKS, reference.landmarks_mm(field), strict=True))


@pytest.mark.parametrize(
    ("name", "landmark", "axis", "expected"),
    [
        ("left_transverse_length_mm", "left_transverse_process", 1, 1.0),
        ("left_transverse_length_mm", "right_transverse_process", 1, 0.0),
        ("spinous_length_mm", "spinous_process", 0, -1.0),
        ("canal_depth_mm", "spinous_process", 0, -1.0),
        ("body_height_mm", "superior_endplate", 2, 0.5),
        ("body_height_mm", "spinous_process", 2, 0.0),
        ("superior_concavity_mm", "inferior_endplate", 2, 0.0),
        ("frontal_wedge_deg", "superior_endplate", 2, 0.0),
    ],
)
def test_a_parameter_moves_its_landmark_by_its_unit(reference, geometry, name, landmark, axis, expected):
    assert moved_landmarks(reference, geometry, name)[landmark][axis] == pytest.approx(expected, abs=0.25)


def test_body_width_is_in_millimetres(geometry):
    field = next(p.field(geometry) for p in PARAMETERS if p.name == "body_width_mm")
    body = geometry.points[:, 0] > 0
    assert np.ptp((geometry.points + field)[body, 1]) - np.ptp(geometry.points[body, 1]) == pytest.approx(1.0, abs=0.1)


def test_one_degree_of_wedge_opens_the_endplates_by_one_degree(reference, geometry):
    field = next(p.field(geometry) for p in PARAMETERS if p.name == "sagittal_wedge_deg")
    top = (geometry.points[:, 2] > 13.5) & (geometry.points[:, 0] > -8)
    slope = np.polyfit(geometry.points[top, 0], field[top, 2], 1)[0]
    assert np.rad2deg(2 * slope) == pytest.approx(1.0, abs=0.1)


def test_fields_are_smooth_and_bounded(reference, geometry):
    edges = reference.surface.to_trimesh().edges_unique
    length = np.linalg.norm(np.diff(geometry.points[edges], axis=1)[:, 0], axis=1)
    fields = displacement_fields(geometry.points[None], geometry.landmarks[None])[:, 0]
    strain = np.linalg.norm(np.diff(fields[:, edges], axis=2)[:, :, 0], axis=2) / length
    assert strain.max() < 0.5
    assert np.linalg.norm(fields, axis=2).max() < 6.0
