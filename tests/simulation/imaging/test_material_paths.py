"""Path lengths by material of boxes, against their sizes."""

import numpy as np
import pytest
import trimesh

from lumbar_ext.drr.projector import add_path_length
from lumbar_ext.geometry import ConeBeam
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.simulation.body.composition import Composition
from lumbar_ext.simulation.body.ellipsoids import Ellipsoids
from lumbar_ext.simulation.body.trunk import TissueTexture, Trunk
from lumbar_ext.simulation.imaging.material_paths import BodyScene, Inclusion, ShelledBone, material_paths

CAMERA = ConeBeam([900.0, 0, 0], [-300.0, -63, 63], [0, 1, 0], [0, 0, -1], (2.0, 2.0), (64, 64))
NOTHING = Ellipsoids(np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros(0))
COMPOSITION = Composition(
    age_years=50, trabecular_hu=(150.0,) * 7, marrow_fat=0.4, shell_density=0.7, texture=0.0, patches=0.0
)
LAYERS = ("lungs", "diaphragm", "gas", "fat", "muscles", "calcifications")


def box(*size):
    mesh = trimesh.creation.box(size)
    return Surface(mesh.vertices, mesh.faces)


def ball(radius, contrast=1.0):
    return Ellipsoids(np.zeros((1, 3)), np.eye(3)[None] * radius, np.array([contrast]))


def middle(bones=(), inclusions=(), **layers):
    """Path lengths in soft tissue, fat, bone and metal on the central ray."""
    trunk = Trunk(skin=box(200, 400, 400), muscle=box(160, 400, 400), **{**dict.fromkeys(LAYERS, NOTHING), **layers})
    scene = BodyScene(tuple(bones), COMPOSITION, trunk, tuple(inclusions))
    return material_paths(np.random.default_rng(0), scene, CAMERA)[:, 31:33, 31:33].mean((1, 2))


def test_soft_tissue_adds_up_by_layer():
    assert np.allclose(middle(), [160, 40, 0, 0], atol=0.3)


def test_bone_replaces_soft_tissue_with_shell_and_core():
    share = COMPOSITION.core_density(0)
    bone = ShelledBone(box(30, 30, 30), box(26, 26, 26))
    dense, marrow = 4 * 0.7 + 26 * share, 26 * (1 - share)
    expected = [160 - 30 + 4 * 0.3 + marrow * 0.6, 40 + marrow * 0.4, dense, 0]
    assert np.allclose(middle([bone]), expected, atol=0.4)


def test_each_exchange_keeps_the_length_of_the_ray():
    assert np.isclose(middle([ShelledBone(box(30, 30, 30), box(26, 26, 26))]).sum(), 200, atol=0.4)
    assert np.isclose(middle(fat=ball(30, 0.5)).sum(), 200, atol=0.4)
    assert np.isclose(middle(calcifications=ball(3)).sum(), 200, atol=0.4)


def test_fat_lobules_and_muscles_exchange_fat_and_soft_tissue():
    assert np.allclose(middle(fat=ball(30, 0.5)), [130, 70, 0, 0], atol=0.5)
    assert np.allclose(middle(muscles=ball(30, 0.2)), [172, 28, 0, 0], atol=0.5)


def test_gas_and_lung_leave_their_density():
    assert np.allclose(middle(gas=ball(20)), [120, 40, 0, 0], atol=0.5)
    assert np.allclose(middle(lungs=ball(20)), [160 - 0.74 * 40, 40, 0, 0], atol=0.5)


def test_overlapping_gas_merges():
    two = Ellipsoids.concatenated([ball(20), ball(20)])
    # The 4-norm of equal lengths is the fourth root of two times one of them, not twice.
    assert np.isclose(middle(gas=two)[0], 160 - 40 * 2**0.25, atol=0.5)


@pytest.mark.parametrize(("material", "index"), [("metal", 3), ("soft", 0)])
def test_inclusions_add_to_what_is_there(material, index):
    added = middle(inclusions=[Inclusion(box(5, 50, 50), material, 0.8)]) - middle()
    assert np.isclose(added[index], 4.0, atol=0.05)
    assert np.isclose(added.sum(), 4.0, atol=0.05)


def test_a_rounding_below_zero_leaves_numbers(monkeypatch):
    """A ray along the rim of the muscle once had a path of -7e-5 mm, whose root made the whole picture black."""

    def rounded_down(total, projector, solid, **kwargs):
        add_path_length(total, projector, solid, **kwargs)
        total -= np.float32(7e-5)

    monkeypatch.setattr("lumbar_ext.simulation.imaging.soft_tissue.add_path_length", rounded_down)
    trunk = Trunk(
        skin=box(200, 80, 80),
        muscle=box(160, 60, 60),
        texture=TissueTexture(mottle_mm=8.0),
        **dict.fromkeys(LAYERS, NOTHING),
    )
    paths = material_paths(np.random.default_rng(0), BodyScene((), COMPOSITION, trunk), CAMERA)
    assert np.isfinite(paths).all()
