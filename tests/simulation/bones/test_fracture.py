"""Deformed vertebrae: heights are lost where they should be, surfaces stay sound."""

import numpy as np
import pytest

from lumbar_ext.anatomy import LANDMARKS
from lumbar_ext.mesh.self_intersection import self_intersections
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.population.variation import Geometry
from lumbar_ext.simulation.bones.fracture import deformed, lysis_field
from lumbar_ext.simulation.bones.pathology import Pathology
from lumbar_ext.simulation.bones.skeleton import assemble_skeleton
from lumbar_ext.simulation.checks.dimensions import Calliper
from lumbar_ext.simulation.ranges import PathologyParameters


@pytest.fixture(scope="module")
def person(real_population):
    rng = np.random.default_rng(1)
    return assemble_skeleton(rng, real_population.sample(rng), real_population.triangles, real_population.background)


def after(person, real_population, pathology):
    return deformed(np.random.default_rng(0), person, pathology, real_population.reference, PathologyParameters())


@pytest.mark.parametrize(
    ("kind", "loss", "lost", "kept"),
    [
        ("wedge", 0.3, ["anterior"], ["posterior"]),
        ("wedge", 0.45, ["anterior"], ["posterior"]),
        ("biconcave", 0.3, ["middle"], ["posterior"]),
        ("crush", 0.35, ["anterior", "middle", "posterior"], []),
    ],
)
def test_fractures_lose_the_height_asked_for(person, real_population, kind, loss, lost, kept):
    calliper = Calliper(real_population.atlas)
    fractured = after(person, real_population, Pathology(kind, "L3", loss))
    old, new = (calliper.measure(bones.lumbar[2].solid.vertices_mm, 2) for bones in (person, fractured))
    for name in lost:
        assert 1 - new[f"{name}_height_mm"] / old[f"{name}_height_mm"] == pytest.approx(loss, abs=0.025)
    for name in kept:
        assert new[f"{name}_height_mm"] == pytest.approx(old[f"{name}_height_mm"], rel=0.03)


def test_neighbours_of_a_fracture_are_left_alone(person, real_population):
    fractured = after(person, real_population, Pathology("crush", "L2", 0.3))
    changed = [new is not old for new, old in zip(fractured.lumbar, person.lumbar, strict=True)]
    assert changed == [False, True, False, False, False]


@pytest.mark.parametrize(
    "pathology", [Pathology("crush", "L1", 0.5), Pathology("osteophytes", None, 8.0), Pathology("slip", "L4", 0.3)]
)
def test_surfaces_stay_closed_and_do_not_cross_themselves(person, real_population, pathology):
    solid = after(person, real_population, pathology).lumbar[pathology.level_index if pathology.level else 2].solid
    surface = Surface(solid.vertices_mm, solid.triangles)
    assert surface.is_watertight
    assert surface.volume_mm3 > 0
    assert self_intersections(surface) == 0


def test_the_longest_spur_has_about_the_length_asked_for(person, real_population):
    grown = after(person, real_population, Pathology("osteophytes", None, 6.0))
    reach = [
        np.linalg.norm(new.solid.vertices_mm - old.solid.vertices_mm, axis=1).max()
        for new, old in zip(grown.lumbar, person.lumbar, strict=True)
    ]
    assert 3.0 < np.min(reach)
    assert 5.0 < np.max(reach) < 8.0


def test_a_lengthened_arch_leaves_body_pedicles_and_transverse_processes_in_place(person):
    vertebra = person.lumbar[3]
    moved = lysis_field(Geometry(vertebra.solid.vertices_mm, vertebra.landmarks_mm), 8.0)
    x = vertebra.solid.vertices_mm[:, 0]
    assert np.abs(moved[x > vertebra.landmarks_mm[LANDMARKS.index("left_pedicle"), 0]]).max() < 0.3
    tips = np.argmax(np.abs(vertebra.solid.vertices_mm[:, 1]))
    assert np.abs(moved[tips]).max() < 0.2
    assert moved[np.argmin(x), 0] == pytest.approx(-8.0, abs=0.1)


def test_landmarks_are_those_of_the_new_surface(person, real_population):
    fractured = after(person, real_population, Pathology("wedge", "L3", 0.4)).lumbar[2]
    expected = real_population.reference.landmarks_mm(fractured.solid.vertices_mm)
    assert np.allclose(fractured.landmarks_mm, expected)
    assert np.allclose(expected[0] + expected[1], 0, atol=1e-6)
