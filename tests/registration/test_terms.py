"""The loss is the sum of its terms, and a term is one object."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.drr import drr_from_path_length
from lumbar_ext.registration.config import RegistrationConfig
from lumbar_ext.registration.loss.linearisation import Lineariser
from lumbar_ext.registration.search.gauss_newton import GaussNewton, GaussNewtonStage, Varying
from lumbar_ext.registration.search.optimiser import start_parameters
from lumbar_ext.registration.targets import ViewTarget
from lumbar_ext.registration.terms.images import ImageTerm
from lumbar_ext.registration.terms.non_intersection import NonIntersection
from lumbar_ext.registration.terms.shape_prior import ShapePriorTerm
from lumbar_ext.registration.terms.similarity import Huber, SquaredError
from lumbar_ext.registration.terms.term import ModelSum, PreparedTerm, Term
from tests.registration.many_rays import mean_path_lengths

ODD, EVEN = ("L1", "L3", "L5"), ("L2", "L4")


@dataclass(frozen=True)
class Spring(Term):
    """A term of its own: pulls every vertebra back along its x axis."""

    stiffness: float = 1.0

    def prepared(self, scene):
        return PreparedSpring(self)


class PreparedSpring(PreparedTerm):
    def __init__(self, term):
        self._stiffness = term.stiffness

    def value(self, state):
        return self._stiffness * sum(p[0] ** 2 for p in state.parameters) / 2

    def add_to(self, model, state, factor=1.0):
        model.loss += factor * self.value(state)
        for i, p in enumerate(state.parameters):
            model.gradient[i, 0] += factor * self._stiffness * p[0]
            if model.hessian is not None:
                model.hessian[i, 0, i, 0] += factor * self._stiffness


@pytest.fixture
def moved(full_problem):
    rng = np.random.default_rng(0)
    return [p + rng.normal(0, 1, 14) * ([0.5] * 3 + [0.02] * 3 + [0.3] * 8) for p in start_parameters(full_problem)]


@pytest.fixture
def everything(full_problem):
    problem = full_problem.with_term(ImageTerm(Huber())).with_term(NonIntersection()).averaged(4)
    return replace(problem, reference_penalty=0.3)


def test_the_loss_and_its_model_are_the_sums_of_the_terms(everything, moved):
    lineariser = Lineariser(everything)
    state, model = lineariser.scene.at(moved), lineariser.model(moved)
    parts = {type(term): term.prepared(lineariser.scene) for term in everything.terms}
    images = parts[ImageTerm].value(state)
    factor = everything.regularisation(images)
    assert factor == pytest.approx((images / 0.3) ** 2)
    total = ModelSum(5, 14)
    for term in everything.terms:
        parts[type(term)].add_to(total, state, factor if term.follows_images else 1.0)
    value = sum((factor if t.follows_images else 1.0) * parts[type(t)].value(state) for t in everything.terms)
    assert lineariser.loss(moved) == pytest.approx(value, rel=1e-9)
    assert model.loss == pytest.approx(value, rel=1e-6)
    for found, expected in (
        (model.gradient, total.gradient),
        (model.hessian, total.hessian),
        (lineariser.gradient(moved, images), model.gradient),
    ):
        # Sums of float32 hang on the order of their parts.
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_a_loss_against_another_has_its_derivative_and_the_same_minimum(everything, moved):
    smooth = replace(everything, terms=tuple(t for t in everything.terms if not isinstance(t, NonIntersection)))
    lineariser = Lineariser(smooth)
    reference, rng = 1.1 * lineariser.losses(moved).images, np.random.default_rng(0)
    slopes = lineariser.gradient(moved, reference)
    for _ in range(4):
        way = [rng.normal(0, 1, 14) * ([0.02] * 3 + [0.0005] * 3 + [0.01] * 8) for _ in moved]
        ends = [lineariser.loss([p + s * w for p, w in zip(moved, way, strict=True)], reference) for s in (-1, 1)]
        assert (slopes * way).sum() == pytest.approx((ends[1] - ends[0]) / 2, rel=0.01, abs=1e-6)
    losses = lineariser.losses(moved)
    assert lineariser.loss(moved, losses.images) == pytest.approx(losses.total, rel=1e-9)


def test_computing_a_model_does_not_change_the_loss(everything, moved):
    lineariser = Lineariser(everything)
    elsewhere = start_parameters(everything)
    before = lineariser.loss(moved), lineariser.loss(elsewhere)
    lineariser.model(elsewhere)
    lineariser.gradient(elsewhere, 1.0)
    assert (lineariser.loss(moved), lineariser.loss(elsewhere)) == before


def test_a_new_term_needs_no_other_file(plain_problem):
    config = RegistrationConfig(more_terms=(Spring(100.0),))
    assert config.terms[-1] == Spring(100.0)
    search = GaussNewton((GaussNewtonStage(8, None, Varying.POSE, 8, 0.01),))
    free, held = (search.run(p) for p in (plain_problem, plain_problem.with_term(Spring(100.0))))
    assert max(abs(fit.pose[0]) for fit in free.vertebrae.values()) > 1
    assert max(abs(fit.pose[0]) for fit in held.vertebrae.values()) < 0.05


@pytest.mark.parametrize("block", [1, 2, 4])
def test_the_slope_of_the_images_is_that_of_the_loss(plain_problem, block):
    """At every single place, silhouettes included: pictures are means over the area of pixels."""
    problem = plain_problem.with_term(ImageTerm(Huber(0.1))).averaged(block)
    lineariser, rng = Lineariser(problem), np.random.default_rng(block)
    at = start_parameters(problem)
    slopes = lineariser.gradient(at, 1.0)
    for _ in range(8):
        way = [rng.normal(0, 1, 14) * ([0.02] * 3 + [0.0005] * 3 + [0.01] * 8) for _ in at]
        ends = [lineariser.loss([p + sign * w for p, w in zip(at, way, strict=True)]) for sign in (-1, 1)]
        assert (slopes * way).sum() == pytest.approx((ends[1] - ends[0]) / 2, rel=0.01, abs=1e-6)


def test_the_hessian_of_images_is_the_square_of_their_slopes(plain_problem):
    """Squared errors that vanish: the loss along a way is the parabola of the Hessian."""
    at, coarse = start_parameters(plain_problem), plain_problem.averaged(2)
    seen = Lineariser(coarse).pictures(at)
    targets = {name: replace(t, image=seen[name]) for name, t in coarse.targets.items()}
    problem = replace(plain_problem, targets=targets).with_term(ImageTerm(SquaredError()))
    lineariser = Lineariser(problem)
    hessian, rng, ratios = lineariser.model(at).hessian, np.random.default_rng(0), []
    for _ in range(6):
        way = rng.normal(0, 1, (5, 14)) * ([0.1] * 3 + [0.004] * 3 + [0.06] * 8)
        parabola = np.einsum("ia,iajb,jb", way, hessian, way) / 2
        ratios.append(parabola / np.mean([lineariser.loss(list(np.array(at) + sign * way)) for sign in (-1, 1)]))
    assert np.mean(ratios) == pytest.approx(1, abs=0.15)


def in_groups(problem, truth, geometry, groups):
    """The problem with the decompositions of groups of levels."""
    targets = {}
    for view in VIEWS:
        for group in groups:
            meshes = [truth.vertices[LEVELS.index(level)] for level in group]
            triangles = problem.vertebrae[0].shape.surface.triangles
            length = mean_path_lengths(meshes, triangles, geometry[view])
            name = f"{view} {'+'.join(group)}"
            targets[name] = ViewTarget(
                geometry[view], drr_from_path_length(length), np.ones((512, 512)), tuple(group), view
            )
    return replace(problem, targets=targets)


def test_one_group_of_all_levels_is_the_total(plain_problem, truth, geometry):
    grouped = in_groups(plain_problem, truth, geometry, [LEVELS])
    at = start_parameters(plain_problem)
    one, all_of_them = (Lineariser(problem.averaged(4)) for problem in (plain_problem, grouped))
    assert one.losses(at).per_view == pytest.approx(all_of_them.losses(at).per_view, rel=1e-5)
    np.testing.assert_allclose(one.gradient(at, 1.0), all_of_them.gradient(at, 1.0), rtol=1e-3, atol=1e-8)


def test_a_neighbour_of_another_group_does_not_pull(plain_problem, truth, geometry):
    grouped = in_groups(plain_problem, truth, geometry, [ODD, EVEN]).averaged(4)
    at = start_parameters(grouped)
    shifted = [p + 3.0 * (np.arange(14) == 2) if i == 2 else p for i, p in enumerate(at)]
    lineariser = Lineariser(grouped)
    before, after = (lineariser.gradient(p, 1.0) for p in (at, shifted))
    np.testing.assert_array_equal(before[[1, 3]], after[[1, 3]])
    assert np.abs(after[2] - before[2]).max() > 0
    hessian = lineariser.model(at).hessian
    assert (hessian[1, :, 2] == 0).all() and (hessian[0, :, 1] == 0).all()


def test_groups_are_found_as_well_as_the_total(plain_problem, truth, geometry, vertex_errors):
    grouped = in_groups(plain_problem, truth, geometry, [ODD, EVEN]).with_term(ImageTerm(Huber()))
    search = GaussNewton(
        (GaussNewtonStage(4, None, Varying.POSE, 8, 0.2), GaussNewtonStage(4, None, Varying.MODEL, 12, 0.05))
    )
    result = search.run(grouped)
    assert max(vertex_errors(result).values()) < 0.1
    assert set(result.vertebrae["L2"].loss) == set(VIEWS) == set(result.loss_per_view)


def test_terms_that_make_no_problem_are_refused(plain_problem):
    with pytest.raises(ValueError, match="terms must hold one ImageTerm"):
        replace(plain_problem, terms=(ShapePriorTerm(),))
    targets = {name: replace(target, levels=("T12",)) for name, target in plain_problem.targets.items()}
    with pytest.raises(ValueError, match="none of which is to be registered"):
        replace(plain_problem, targets=targets)
