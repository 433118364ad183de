"""A small biplanar study for the tests of this folder."""

import numpy as np
import pytest

from lumbar_ext.geometry import BiplanarGeometry, Camera


@pytest.fixture
def geometry() -> BiplanarGeometry:
    """AP from the front, lateral from the left, different sizes and spacings."""
    ap = Camera([1000, 0, 0], [-300, -32, 47], [0, 1, 0], [0, 0, -1], (1.0, 1.5), (64, 63))
    lat = Camera([0, 1000, 0], [30, -300, 47], [-1, 0, 0], [0, 0, -1], (1.2, 1.2), (51, 80))
    return BiplanarGeometry(ap, lat)


@pytest.fixture
def trunk():
    """A function that makes a bone-bright image [rows, columns] of a trunk between air, uint16."""

    def make(rows: int, columns: int, seed: int = 0) -> np.ndarray:
        u = np.linspace(-1, 1, columns)
        thickness = np.sqrt(np.clip(1 - (u / 0.8) ** 2, 0, None))
        spine = 0.4 * (np.abs(u) < 0.12)
        levels = 1 + 0.1 * np.sin(np.arange(rows) / 3.0)[:, None]
        noise = np.random.default_rng(seed).normal(0, 0.01, (rows, columns))
        return np.clip((thickness + spine) * levels * 20000 + 2000 + 20000 * noise, 0, 65535).astype(np.uint16)

    return make
