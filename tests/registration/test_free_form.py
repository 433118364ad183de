import numpy as np
import pytest

from lumbar_ext.registration.free_form import FreeForm


def test_fields_have_the_covariance_of_the_kernel(shapes):
    points = shapes[0].surface.mean_mm[::5]
    fields = FreeForm(n_fields=150, length_mm=15.0, sd_mm=0.8, n_support=300).fields(points)
    squared = ((points[:, None] - points[None]) ** 2).sum(-1)
    np.testing.assert_allclose(fields.T @ fields, 0.64 * np.exp(-squared / 450), atol=0.03)


def test_every_field_moves_along_every_axis(shapes):
    free_form = FreeForm(n_fields=4)
    extended = free_form.extend(shapes)[1]
    assert extended.n_modes == 20 and extended.n_model_modes == 8
    fields = free_form.fields(shapes[0].surface.mean_mm)
    for field, axis in ((0, 0), (3, 1), (2, 2)):
        moved = extended.surface.instance(np.eye(20)[8 + 3 * field + axis]) - extended.surface.mean_mm
        np.testing.assert_allclose(moved[:, axis], fields[field], atol=1e-5)
        assert (np.delete(moved, axis, axis=-1) == 0).all()


def test_the_same_shapes_give_the_same_objects(shapes):
    assert FreeForm(n_fields=4).extend(shapes) is FreeForm(n_fields=4).extend(shapes)


def test_no_fields_is_no_change(shapes):
    assert FreeForm(n_fields=0).extend(shapes) is shapes
    with pytest.raises(ValueError, match="n_fields must be"):
        FreeForm(n_fields=-1)
