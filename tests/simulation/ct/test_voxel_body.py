"""The voxel renderer against the mesh renderer: the same bones in the same places."""

from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.drr import path_length
from lumbar_ext.io.volume import Volume
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.mesh.voxels import VoxelGrid, coverage
from lumbar_ext.simulation.body.assembly import assemble_scene
from lumbar_ext.simulation.body.composition import sample_composition
from lumbar_ext.simulation.body.materials import MATERIALS, ct_number
from lumbar_ext.simulation.ct.ct_projection import ct_paths
from lumbar_ext.simulation.ct.voxel_body import voxel_body
from lumbar_ext.simulation.imaging.acquisition import sample_geometry
from lumbar_ext.simulation.imaging.material_paths import BodyScene, Inclusion, ShelledBone
from lumbar_ext.simulation.parameter_file import read_parameters
from lumbar_ext.simulation.posture.posed_spine import posed_landmarks_mm, posed_vertebrae, sample_posture
from lumbar_ext.simulation.ranges import SimulationParameters
from lumbar_ext.simulation.simulated_study import simulate_study
from lumbar_ext.simulation.study_spec import StudySpec

VOXEL_MM = 2.0
PLAIN = StudySpec(5, size_px=128, parameters=read_parameters("plain"))


@pytest.fixture(scope="module")
def person(skeleton):
    """A posed person in a scene, and cameras."""
    rng = np.random.default_rng(3)
    parameters = SimulationParameters()
    posture = sample_posture(rng, skeleton, StudySpec(0))
    landmarks = posed_landmarks_mm(posture, posture.skeleton.landmarks_mm)
    geometry = sample_geometry(rng, landmarks, parameters.geometry, size_px=128)
    return posture, geometry, assemble_scene(rng, posture, parameters)


def vertebrae_alone(scene: BodyScene, posture) -> BodyScene:
    """The trunk with lumbar vertebrae of dense bone and no other bones."""
    solids = tuple(Inclusion(solid, "bone") for solid in posed_vertebrae(posture))
    return BodyScene((), scene.composition, scene.trunk, solids)


@pytest.mark.parametrize("view", VIEWS)
def test_vertebrae_in_voxels_have_the_outlines_of_their_meshes(person, view):
    """Dense vertebrae in soft tissue, voxels of 1 mm; outlines where a ray meets 3 mm of bone."""
    posture, geometry, _ = person
    solids = posed_vertebrae(posture)
    corners = np.concatenate([solid.box_corners_mm for solid in solids])
    grid = VoxelGrid.around(corners.min(0) - 3, corners.max(0) + 3, 1.0)
    share = np.minimum(sum(coverage(solid, grid) for solid in solids), 1)
    soft, dense = ct_number("soft"), ct_number("bone")
    spacing = geometry[view].pixel_spacing_mm
    camera = geometry[view].resampled(size_px=(512, 512), pixel_spacing_mm=(spacing[0] / 4, spacing[1] / 4))
    cast = ct_paths(Volume(soft + share * (dense - soft), grid.world_from_voxel), camera)[MATERIALS.index("bone")]
    expected = sum(path_length(solid.vertices_mm, solid.triangles, camera) for solid in solids)
    outline, true = cast > 3, expected > 3
    assert (outline & true).sum() / (outline | true).sum() > 0.96
    assert np.abs(cast - expected)[true].mean() < 0.5
    assert cast.sum() == pytest.approx(expected.sum(), rel=0.01)


@pytest.mark.parametrize("view", VIEWS)
def test_bones_lie_where_the_scene_has_them(person, view):
    posture, geometry, scene = person
    with_bones = voxel_body(np.random.default_rng(0), vertebrae_alone(scene, posture), geometry, VOXEL_MM)
    bare = voxel_body(np.random.default_rng(0), BodyScene((), scene.composition, scene.trunk), geometry, VOXEL_MM)
    camera, bone = geometry[view], MATERIALS.index("bone")
    cast = ct_paths(with_bones, camera)[bone] - ct_paths(bare, camera)[bone]
    expected = sum(path_length(s.vertices_mm, s.triangles, camera) for s in posed_vertebrae(posture))
    assert np.abs(cast - expected)[expected > 10].mean() < 0.75 * VOXEL_MM
    assert cast.sum() == pytest.approx(expected.sum(), rel=0.05)


def test_the_volume_holds_what_bodies_are_made_of(person):
    posture, geometry, scene = person
    body = voxel_body(np.random.default_rng(0), scene, geometry, VOXEL_MM)
    assert np.isfinite(body.values).all()
    assert body.values.min() == -1000
    assert body.values.max() <= ct_number("metal") + 1
    middle = posed_landmarks_mm(posture, posture.skeleton.landmarks_mm)[2, :2].mean(0)
    index = np.linalg.inv(body.world_from_voxel) @ np.append(middle, 1)
    i, j, k = index[:3].round().astype(int)
    inside = body.values[i - 2 : i + 3, j - 2 : j + 3, k - 2 : k + 3]
    assert inside.mean() == pytest.approx(scene.composition.trabecular_hu[3], abs=60)


def test_shells_are_denser_than_what_they_enclose(person):
    _, geometry, scene = person
    sphere = scene.bones[0].outer
    composition = sample_composition(np.random.default_rng(1), SimulationParameters().bone)
    shelled = BodyScene((ShelledBone(sphere, sphere.shrunk(1.0), 1),), composition, scene.trunk)
    rare = BodyScene((ShelledBone(sphere, sphere.shrunk(0.1), 1),), composition, scene.trunk)
    bone = MATERIALS.index("bone")
    thick, thin = (
        ct_paths(voxel_body(np.random.default_rng(0), s, geometry, VOXEL_MM), geometry.ap)[bone].sum()
        for s in (shelled, rare)
    )
    assert thick > 1.2 * thin


def test_metal_is_laid_on_top(person):
    _, geometry, scene = person
    block = scene.bones[2].outer
    metal = BodyScene(
        scene.bones, scene.composition, scene.trunk, (Inclusion(Surface(block.vertices_mm, block.triangles), "metal"),)
    )
    body = voxel_body(np.random.default_rng(0), metal, geometry, VOXEL_MM)
    assert body.values.max() == pytest.approx(ct_number("metal"), rel=1e-3)


@pytest.fixture(scope="module")
def pair(population):
    """One study by both renderers."""
    return (
        simulate_study(population, PLAIN),
        simulate_study(population, replace(PLAIN, voxel_mm=VOXEL_MM)),
    )


def test_the_truth_does_not_depend_on_the_renderer(pair):
    meshes, voxels = pair
    assert voxels.truth.spec.voxel_mm == VOXEL_MM and meshes.truth.spec.voxel_mm is None
    assert np.array_equal(meshes.truth.landmarks_mm, voxels.truth.landmarks_mm)
    for view in VIEWS:
        assert np.array_equal(meshes.truth.decomposition[view], voxels.truth.decomposition[view])
        assert np.array_equal(meshes.truth.geometry[view].source_mm, voxels.truth.geometry[view].source_mm)
        assert not np.array_equal(meshes.pictures[view].pixels, voxels.pictures[view].pixels)


def test_pictures_by_voxels_show_the_bones(pair):
    _, voxels = pair
    for view in VIEWS:
        pixels = voxels.pictures[view].pixels.astype(float)
        bone = voxels.truth.decomposition[view] > 0
        assert pixels[bone].mean() > np.percentile(pixels, 40)


def test_voxel_studies_are_reproducible(population, pair):
    again = simulate_study(population, replace(PLAIN, voxel_mm=VOXEL_MM))
    assert all(np.array_equal(again.pictures[view].pixels, pair[1].pictures[view].pixels) for view in VIEWS)
