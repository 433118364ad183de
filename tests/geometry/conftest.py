import numpy as np
import pytest

from lumbar_ext.geometry import ConeBeam


@pytest.fixture
def ap_camera():
    """AP: source in front, u to the person's left, v down."""
    return ConeBeam([1000, 0, 0], [-200, -150, 180], [0, 1, 0], [0, 0, -1], (0.8, 1.1), (376, 300))


@pytest.fixture
def lat_camera():
    """Lateral: source on the left, u to the back, v down."""
    return ConeBeam([0, 1000, 0], [140, -200, 180], [-1, 0, 0], [0, 0, -1], (0.9, 0.7), (320, 512))


@pytest.fixture
def points_mm():
    return np.random.default_rng(0).uniform(-80, 80, (40, 3))
