"""What has changed between studies of one person, and by how much it may be the measurement's own error."""

import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.measurements.follow_up import changes
from lumbar_ext.measurements.uncertainty.assessment import assess_values
from lumbar_ext.measurements.values.spine_values import Values

KEY = ("L3", "anterior_height")


def study(value, sd=None):
    """Measurements in which only one height is known."""
    found = {} if value is None else {KEY: np.array(value)}
    return assess_values(Values(found, {}), {} if sd is None else {KEY: sd})


def change(*studies):
    return next(own for own in changes(studies) if (own.subject, own.id) == KEY)


def test_errors_of_two_studies_add_in_squares():
    found = change(study(28.0, 0.3), study(26.0, 0.4), study(28.5, 0.4))
    assert found.differences == pytest.approx((-2.0, 0.5))
    # 0.5 = sqrt(0.3^2 + 0.4^2); the 90 % interval of a normal error is +- 1.645 sd.
    assert found.half_widths == pytest.approx((1.645 * 0.5, 1.645 * 0.5), abs=1e-3)
    assert found.sure == (True, False)


def test_no_more_than_one_in_ten_unchanged_values_is_called_changed():
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(2000, 2)) * (0.5, 1.2)
    called = [change(study(28 + a, 0.5), study(28 + b, 1.2)).sure[0] for a, b in errors[:300]]
    assert 0.05 < np.mean(called) < 0.15


def test_what_a_study_lacks_is_not_guessed():
    assert change(study(28.0, 0.3), study(None)).differences == (None,)
    assert change(study(28.0, 0.3), study(None)).sure == (None,)
    unknown = change(study(28.0), study(27.0, 0.3))
    assert unknown.differences == pytest.approx((-1.0,)) and unknown.sure == (None,)


def test_one_study_is_no_follow_up():
    with pytest.raises(InputError, match="at least two"):
        changes([study(1.0)])
