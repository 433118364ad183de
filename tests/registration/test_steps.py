import numpy as np

from lumbar_ext.registration.steps import DampedSteps

RNG = np.random.default_rng(0)
ROOT = RNG.normal(size=(12, 12))
HESSIAN, MINIMUM, WIDE = ROOT @ ROOT.T + 0.1 * np.eye(12), RNG.normal(0, 1, 12), np.full(12, 1e3)


def slope(position):
    return HESSIAN @ (position - MINIMUM)


def test_an_undamped_step_ends_at_the_minimum_of_a_parabola():
    start = np.zeros(12)
    end = DampedSteps(start, slope(start), HESSIAN, WIDE, 0.0).end(start, slope(start))
    np.testing.assert_allclose(end, MINIMUM, atol=1e-5)


def test_what_is_learnt_makes_up_for_a_wrong_second_derivative():
    wrong = HESSIAN + 10 * np.eye(12)
    ends = []
    for learns in (True, False):
        at = np.zeros(12)
        steps = DampedSteps(at, slope(at), wrong, WIDE, 0.0)
        for _ in range(20):
            before, at = at, steps.end(at, slope(at))
            if learns:
                steps.learn(at - before, slope(at) - slope(before))
        ends.append(np.linalg.norm(HESSIAN @ (at - MINIMUM)))
    assert ends[0] < 0.2 * ends[1]


def test_bounds_hold_and_a_parameter_that_wants_out_is_left_aside():
    limits = np.full(12, 0.5)
    at = np.clip(10 * MINIMUM, -0.5, 0.5)
    end = DampedSteps(at, slope(at), HESSIAN, limits, 1e-3).end(at, slope(at))
    assert (np.abs(end) <= limits).all()
    held = (np.abs(at) == 0.5) & (at * slope(at) < 0)
    np.testing.assert_array_equal(end[held], at[held])


def test_an_indefinite_hessian_is_no_step():
    at = np.zeros(12)
    np.testing.assert_array_equal(DampedSteps(at, slope(at), -HESSIAN, WIDE, 0.0).end(at, slope(at)), at)
