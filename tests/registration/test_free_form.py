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
    assert extended.n_free == 12 and extended.n_model_modes == 8
    displacement = extended.surface.displacements_mm[8:].reshape(4, 3, -1, 3)
    fields = free_form.fields(shapes[0].surface.mean_mm)
    for axis in range(3):
        np.testing.assert_allclose(displacement[:, axis, :, axis], fields)
        assert (np.delete(displacement[:, axis], axis, axis=-1) == 0).all()


def test_no_fields_is_no_change(shapes):
    assert FreeForm(n_fields=0).extend(shapes) is shapes
    with pytest.raises(ValueError, match="n_fields must be"):
        FreeForm(n_fields=-1)
