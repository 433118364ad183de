import numpy as np
import pytest

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.mesh.material_points import MaterialPoints
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.correspondence.mirror import MirrorMap
from lumbar_ext.shape.model.reference import LANDMARK_VERTICES, Reference
from lumbar_ext.shape.population.atlas import Atlas
from lumbar_ext.simulation.bones.simulated_population import Population


def ring_surface():
    """A torus with landmarks at made-up places: enough for the arithmetic of a population."""
    u, v = np.meshgrid(np.arange(24), np.arange(16), indexing="ij")
    a, b = 2 * np.pi * u / 24, 2 * np.pi * v / 16
    points = np.stack(
        [(40 + 14 * np.cos(b)) * np.cos(a) - 20, (40 + 14 * np.cos(b)) * np.sin(a), 14 * np.sin(b)], axis=-1
    )
    index = u * 16 + v
    right, up = np.roll(index, -1, axis=0), np.roll(index, -1, axis=1)
    diagonal = np.roll(right, -1, axis=1)
    triangles = np.concatenate([np.stack([index, right, diagonal], -1), np.stack([index, diagonal, up], -1)]).reshape(
        -1, 3
    )
    return Surface(points.reshape(-1, 3), triangles)


@pytest.fixture(scope="module")
def population():
    surface = ring_surface()
    targets = np.array(
        [[20, 0, 14], [20, 0, -14], [-35, 45, 5], [-35, -45, 5], [-20, 30, 6], [-20, -30, 6], [-74, 0, 0.0]]
    )
    nearest = np.argmin(((surface.vertices_mm[:, None] - targets) ** 2).sum(-1), axis=0)
    vertices = np.repeat(nearest[:, None], LANDMARK_VERTICES, axis=1)
    reference = Reference(surface, MaterialPoints(vertices, np.full(vertices.shape, 1 / LANDMARK_VERTICES)))
    mean = reference.in_vertebra_frame(surface.vertices_mm)
    means = np.repeat(mean[None], len(LEVELS), axis=0)
    return Population(
        Atlas(
            reference=reference,
            means_mm=means,
            deviations_mm=np.repeat(np.sin(mean / 20)[None, None], len(LEVELS), axis=1),
            deviation_names=("a",),
            bases_mm=(1.2 * means)[None],
            base_names=("someone",),
            base_splits=("test",),
            mirror=MirrorMap(
                MaterialPoints(np.repeat(np.arange(len(mean))[:, None], 3, axis=1), np.full((len(mean), 3), 1 / 3))
            ),
            background=None,
        )
    )


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_seed_determines_the_subject(population, split):
    first, second, other = (population.sample(np.random.default_rng(seed), split) for seed in (1, 1, 2))
    assert np.array_equal(first.vertices_mm, second.vertices_mm)
    assert (first.sex, first.stature_mm) == (second.sex, second.stature_mm)
    assert not np.allclose(first.vertices_mm, other.vertices_mm)


def test_every_level_is_in_its_vertebra_frame(population):
    subject = population.sample(np.random.default_rng(0), "test")
    assert np.allclose(subject.landmarks_mm[:, 0] + subject.landmarks_mm[:, 1], 0, atol=1e-3)
    pedicles = subject.landmarks_mm[:, 4] - subject.landmarks_mm[:, 5]
    assert np.allclose(pedicles[:, 0], 0, atol=1e-3)


def test_held_out_subjects_name_their_base_and_take_the_size_of_the_population(population):
    rng = np.random.default_rng(0)
    subjects = [population.sample(rng, "test") for _ in range(40)]
    assert {s.base for s in subjects} == {"someone"}
    extents = np.mean([np.ptp(s.vertices_mm[2], axis=0)[1] for s in subjects])
    assert extents == pytest.approx(np.ptp(population.atlas.means_mm[2], axis=0)[1], rel=0.1)


def test_a_split_without_bases_is_refused(population):
    with pytest.raises(InputError, match="split"):
        population.sample(np.random.default_rng(0), "validation")


def test_missing_background_is_explained(population):
    with pytest.raises(InputError, match="background"):
        _ = population.background


def test_real_subjects_are_the_bases_as_they_are(population):
    bases = {
        name: shape
        for name, shape, own in zip(
            population.atlas.base_names, population.atlas.bases_mm, population.atlas.base_splits, strict=True
        )
        if own == "test"
    }
    drawn = [population.sample_real(np.random.default_rng(seed), "test") for seed in range(12)]
    assert {subject.base for subject in drawn} == set(bases)
    for subject in drawn:
        assert np.array_equal(subject.vertices_mm, bases[subject.base])
        assert subject.stature_mm is None


def test_without_training_bases_there_are_no_real_training_subjects(population):
    with pytest.raises(InputError, match="split"):
        population.sample_real(np.random.default_rng(0), "train")


def test_a_third_of_training_people_start_from_whole_shapes(population):
    bases = [population.sample(np.random.default_rng(seed), "train").base for seed in range(300)]
    assert set(bases) == {"mean", "a"}
    assert bases.count("a") / len(bases) == pytest.approx(1 / 3, abs=0.08)


def test_no_held_out_subject_is_on_the_training_side(real_population):
    atlas = real_population.atlas
    sides = dict(zip(atlas.base_names, atlas.base_splits, strict=True))
    assert sides == {"verse009": "validation", "verse014": "test", "vhp": "train"}
    assert not {name for name, split in sides.items() if split != "train"} & set(atlas.deviation_names)
    drawn = {real_population.sample(np.random.default_rng(seed), "train").base for seed in range(150)}
    assert "vhp" in drawn
    assert not drawn & {"verse009", "verse014"}
