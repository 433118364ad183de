import numpy as np
import pytest
import torch

from lumbar_ext.transforms.augmentation.appearance import (
    RandRadiographAppearanced,
    gamma_curve,
    shading,
    sigmoid_curve,
    unsharp,
)


@pytest.mark.parametrize("curve", [lambda x: gamma_curve(x, 0.7), lambda x: sigmoid_curve(x, 5, 0.5)])
def test_contrast_curves_keep_bone_bright(curve):
    """Both are strictly increasing: polarity never changes."""
    assert np.all(np.diff(curve(np.linspace(0, 1, 50, dtype=np.float32))) > 0)


def test_shading_interpolates_its_knots():
    field = shading(np.ones((32, 48), np.float32), np.array([[0.8, 1.2], [1.0, 1.1]]))
    assert field[[0, 0, -1, -1], [0, -1, 0, -1]] == pytest.approx([0.8, 1.2, 1.0, 1.1], abs=1e-5)


def test_sharpening_leaves_flat_regions_and_raises_edges():
    image = np.zeros((40, 40), np.float32)
    image[:, 20:] = 1
    sharp = unsharp(image, 2.0, 0.5)
    assert sharp[20, 0] == 0 and sharp[20, 39] == 1
    assert sharp[20, 20] > 1 and sharp[20, 19] < 0


def test_results_are_seeded_and_leave_the_input_alone():
    image = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0))
    before = image.clone()

    def run():
        transform = RandRadiographAppearanced(probability=1.0)
        transform.set_random_state(3)
        return transform({"image": image})["image"]

    first = run()
    assert torch.equal(first, run()) and torch.equal(image, before)
    assert first.shape == image.shape and first.dtype == torch.float32 and torch.isfinite(first).all()
    assert not torch.allclose(first, image, atol=0.05)


def test_a_probability_of_zero_changes_nothing():
    image = torch.rand(1, 64, 64)
    assert torch.equal(RandRadiographAppearanced(probability=0.0)({"image": image})["image"], image)
