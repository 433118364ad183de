"""The picture of where errors lie."""

from types import SimpleNamespace

import numpy as np
import torch
import trimesh

from lumbar_ext.evaluation.surfaces.error_map import ErrorMap, colours

BALL = trimesh.creation.icosphere(subdivisions=3, radius=25.0)
MODEL = SimpleNamespace(
    mean=torch.tensor(np.stack([BALL.vertices] * 5), dtype=torch.float32), triangles=torch.tensor(BALL.faces)
)


def test_errors_are_averaged_and_painted_where_they_are():
    errors = ErrorMap(MODEL)
    above = np.where(BALL.vertices[:, 2] > 0, 3.0, 0.0)
    for factor in (0.5, 1.5):
        errors.add("L2", factor * above)
    np.testing.assert_allclose(errors.mean_mm("L2"), above)
    picture = np.asarray(errors.draw("test")).astype(int)
    rows, columns = np.nonzero(np.ptp(picture[64:], axis=-1) > 60)
    assert rows.min() >= 200 and rows.max() < 400  # only L2's row is painted
    behind = (columns > 270) & (columns < 540)
    red = picture[64:][..., 0] > picture[64:][..., 2]
    assert red[rows[behind & (rows < 280)], columns[behind & (rows < 280)]].mean() > 0.9
    assert red[rows[behind & (rows > 320)], columns[behind & (rows > 320)]].mean() < 0.1


def test_colours_run_from_blue_to_red():
    (low, high) = colours(np.array([0.0, 99.0]))
    assert low[2] > low[0] and high[0] > high[2]
