"""First passes displaced on purpose: what is shown to the second look, and how outcomes are counted."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.displaced_passes import (
    DISPLACEMENTS,
    DisplacedTable,
    FirstPass,
    LookAtDisplaced,
    outcome_counts,
    prepare_displaced,
)
from lumbar_ext.evaluation.surfaces.surface_error import SurfaceError
from lumbar_ext.geometry import BiplanarGeometry, ConeBeam, RigidTransform
from lumbar_ext.landmarks.triangulated import ViewLandmarks, triangulate_landmarks
from lumbar_ext.registration.register import RegistrationInput
from lumbar_ext.registration.result import LevelSearch, RegistrationResult, StopReason, VertebraFit
from lumbar_ext.workflow.second_look import LookInput, SecondLook

SEARCH = LevelSearch(0.0, 1, 1.0, StopReason.CONVERGED)


@pytest.fixture(scope="module")
def first():
    """Five vertebrae of four vertices each, 36 mm apart, and their landmarks in both views."""
    ap = ConeBeam([900, 0, 0], [-250, -213, 213], [0, 1, 0], [0, 0, -1], (0.834, 0.834), (512, 512))
    lat = ConeBeam([0, 900, 0], [213, -250, 213], [-1, 0, 0], [0, 0, -1], (0.834, 0.834), (512, 512))
    geometry, rng = BiplanarGeometry(ap, lat), np.random.default_rng(0)
    centres = np.array([[0.0, 0.0, 72.0 - 36.0 * i] for i in range(len(LEVELS))])
    points = centres[:, None] + rng.uniform(-15, 15, (len(LEVELS), 7, 3))
    seen = {view: ViewLandmarks(geometry[view].project(points), np.full((5, 7), 0.9)) for view in VIEWS}
    images = {view: np.zeros((512, 512), np.float32) for view in VIEWS}
    inputs = RegistrationInput(images, geometry, triangulate_landmarks(geometry, seen), seen)
    fits = {
        level: VertebraFit(
            level=level,
            pose=np.zeros(6),
            coefficients=np.zeros(2),
            free_form=np.zeros(0),
            world_from_vertebra=RigidTransform(np.eye(3), centre),
            vertices_mm=centre + np.eye(4, 3),
            loss={},
            initial_loss={},
            search=SEARCH,
            shape=SimpleNamespace(),
        )
        for level, centre in zip(LEVELS, centres, strict=True)
    }
    result = RegistrationResult(fits, 0.0, {}, 0.0, 1, 1.0, StopReason.CONVERGED, ())
    return FirstPass(LookInput(inputs, images), result)


def displaced(first, kind, seed=0):
    return DISPLACEMENTS[kind](first, np.random.default_rng(seed))


def heights(found):
    return {level: fit.vertices_mm.mean(0)[2] for level, fit in found.result.vertebrae.items()}


def check_consistent(found):
    """Mesh, pose and landmarks of every level lie at the same place."""
    located = found.inputs.registration.landmarks3d
    assert located.present_levels == found.result.levels
    for level, fit in found.result.vertebrae.items():
        assert fit.level == level
        np.testing.assert_allclose(fit.vertices_mm - np.eye(4, 3), [fit.world_from_vertebra.translation_mm] * 4)
        offset = located.positions_mm[LEVELS.index(level)].mean(0) - fit.world_from_vertebra.translation_mm
        assert np.linalg.norm(offset) < 12  # landmarks surround their vertebra


@pytest.mark.parametrize("kind", list(DISPLACEMENTS))
def test_meshes_poses_and_landmarks_move_together(first, kind):
    check_consistent(displaced(first, kind))


def test_shifts_are_10_mm(first):
    before = {level: fit.vertices_mm for level, fit in first.result.vertebrae.items()}
    for kind, count in (("spine 10 mm off", 5), ("one vertebra 10 mm off", 1)):
        moves = [fit.vertices_mm - before[level] for level, fit in displaced(first, kind).result.vertebrae.items()]
        sizes = [np.linalg.norm(move, axis=1) for move in moves]
        far = [size for size in sizes if size.max() > 1e-9]
        assert len(far) == count
        np.testing.assert_allclose(far, 10.0)


def test_names_move_by_a_level(first):
    true = heights(first)
    high, low = (heights(displaced(first, f"named a level too {word}")) for word in ("high", "low"))
    assert high == {"L1": true["L2"], "L2": true["L3"], "L3": true["L4"], "L4": true["L5"]}
    assert low == {"L2": true["L1"], "L3": true["L2"], "L4": true["L3"], "L5": true["L4"]}


def test_one_of_five_is_lost(first):
    lost = {(set(LEVELS) - set(displaced(first, "one vertebra lost", seed).result.levels)).pop() for seed in range(30)}
    assert lost == set(LEVELS)


def error(mean_mm, flagged=False, kind="as it is"):
    return SurfaceError("study", "radiographs", kind, "L1", mean_mm=mean_mm, flagged=flagged)


def test_outcomes_are_counted():
    errors = [error(0.9), error(1.9), error(0.9, True), error(9.0, True), error(2.1), error(float("nan"))]
    assert outcome_counts(errors) == (2, 1, 1, 1, 1)


def test_the_table_has_a_row_for_each_kind(capsys):
    table = DisplacedTable()
    for _ in range(2):
        table.add({"surface_errors": [error(0.9), error(9.0, True, "spine 10 mm off")]})
    table.finish()
    printed = capsys.readouterr().out
    assert "| as it is | 2 | 0 | 0 | 0 | 0 |" in printed and "| spine 10 mm off | 0 | 0 | 2 | 0 | 0 |" in printed


def test_each_study_is_displaced_in_every_way(first, monkeypatch):
    monkeypatch.setattr("lumbar_ext.evaluation.displaced_passes.register", lambda *args, **kwargs: first.result)
    model = SimpleNamespace(triangles=torch.tensor([[0, 1, 2]]))
    looked = LookAtDisplaced(None, SecondLook(None, looks=0))(first.inputs, model)
    assert list(looked) == list(DISPLACEMENTS)
    assert looked["as it is"] is first.result and len(looked["one vertebra lost"].levels) == 4
    assert LookAtDisplaced(None, SecondLook(None, looks=0))(None, model) == dict.fromkeys(DISPLACEMENTS)
    with pytest.raises(InputError, match="kinds"):
        LookAtDisplaced(None, SecondLook(nn.Identity()), kinds=["upside down"])


def test_a_study_is_displaced_alike_whatever_came_before_it(first, monkeypatch):
    monkeypatch.setattr("lumbar_ext.evaluation.displaced_passes.register", lambda *args, **kwargs: first.result)

    def places(look, name):
        looked = look(first.inputs, SimpleNamespace(triangles=torch.tensor([[0, 1, 2]])), study=name)
        return np.concatenate([own.vertices_mm for result in looked.values() for own in result.vertebrae.values()])

    alone, second = (LookAtDisplaced(None, SecondLook(None, looks=0)) for _ in range(2))
    other = places(second, "a")
    assert np.array_equal(places(alone, "b"), places(second, "b"))
    assert other.shape != places(alone, "b").shape or not np.array_equal(other, places(alone, "b"))


def test_the_name_of_a_study_goes_with_it():
    batch = {"failure": "nothing found", "truth_dir": "cohort/study_7/truth"}
    assert prepare_displaced(batch) == (None, None, (), {"study": "study_7"})
