import numpy as np
import pytest
import torch

from lumbar_ext.errors import InputError
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel, fit_shape_model, principal_components


@pytest.fixture(scope="module")
def model(reference):
    rng = np.random.default_rng(0)
    base = reference.surface.vertices_mm
    fields = np.stack([base * [0.05, 0, 0], base * [0, 0.04, 0], np.sin(base / 20), np.cos(base[:, [1, 2, 0]] / 15)])
    coefficients = rng.normal(size=(40, 5, 4))
    return fit_shape_model(base + np.einsum("nlk,kvc->nlvc", coefficients, fields), reference, n_modes=8)


def test_modes_are_orthonormal(model):
    flat = model.modes.double().flatten(2)
    gram = flat @ flat.transpose(1, 2)
    assert torch.allclose(gram, torch.eye(model.n_modes).double().expand_as(gram), atol=1e-5)


def test_forward_is_the_mean_plus_the_scaled_modes(model):
    b = torch.as_tensor(np.random.default_rng(1).normal(size=(2, 5, 3)), dtype=torch.float32)
    by_hand = model.mean.clone().expand(2, -1, -1, -1).clone()
    for item in range(2):
        for level in range(5):
            for mode in range(3):
                by_hand[item, level] += (
                    b[item, level, mode] * model.standard_deviations[level, mode] * model.modes[level, mode]
                )
    assert torch.allclose(model(b), by_hand, atol=1e-4)


def test_projection_inverts_forward(model):
    b = torch.as_tensor(np.random.default_rng(2).normal(size=(3, 5, 4)), dtype=torch.float32)
    assert torch.allclose(model.project(model(b))[..., :4], b, atol=1e-3)


def test_landmarks_are_weighted_vertex_means(model, reference):
    vertices = model.mean.numpy()
    assert np.allclose(model.landmarks(model.mean).numpy(), reference.landmarks_mm(vertices), atol=1e-3)


def test_the_mean_lies_in_its_vertebra_frame(model):
    landmarks = model.landmarks(model.mean)
    assert torch.allclose(landmarks[:, 0] + landmarks[:, 1], torch.zeros(5, 3), atol=1e-3)
    assert torch.allclose(landmarks[:, 0, :2], torch.zeros(5, 2), atol=1e-3)


def test_saving_in_half_precision_is_harmless(model, tmp_path):
    model.save(tmp_path / "model.pt")
    loaded = VertebraShapeModel.load(tmp_path / "model.pt")
    b = torch.full((1, 5, model.n_modes), 2.0)
    assert torch.allclose(loaded(b), model(b), atol=0.01)
    assert VertebraShapeModel.load(tmp_path / "model.pt", n_modes=3).n_modes == 3


def test_all_components_reproduce_every_shape():
    shapes = np.random.default_rng(0).normal(size=(6, 30, 3))
    components = principal_components(shapes, 10)
    modes = components.modes.reshape(len(components.modes), -1)
    deviations = (shapes - components.mean_mm).reshape(6, -1)
    assert np.allclose(deviations @ modes.T @ modes, deviations, atol=1e-9)
    assert (components.standard_deviations_mm**2).sum() == pytest.approx(components.total_variance_mm2)


def test_wrong_coefficients_and_files_are_refused(model, tmp_path):
    with pytest.raises(ValueError, match="b must be"):
        model(torch.zeros(1, 4, 2))
    with pytest.raises(ValueError, match="n_modes"):
        model.truncate(99)
    (tmp_path / "no.pt").write_text("no model")
    with pytest.raises(InputError, match=r"no\.pt"):
        VertebraShapeModel.load(tmp_path / "no.pt")


def test_numbers_that_are_not_finite_are_refused(model, tmp_path):
    state = model.state_dict() | {"mean": torch.full_like(model.mean, torch.nan)}
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt: mean holds numbers that are not finite"):
        VertebraShapeModel.load(tmp_path / "model.pt")
