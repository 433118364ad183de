"""What a mode does shows in its tiles."""

import numpy as np
import torch
import trimesh
from PIL import Image

from lumbar_ext.shape.model.point_distribution import VertebraShapeModel
from lumbar_ext.shape.quality.mode_picture import mode_picture


def test_a_mode_of_height_stretches_the_tile_of_its_positive_end(tmp_path):
    ball = trimesh.creation.icosphere(subdivisions=3, radius=20.0)
    model = VertebraShapeModel(len(ball.vertices), len(ball.faces), 1, 1)
    taller = ball.vertices * [0, 0, 1] / np.linalg.norm(ball.vertices[:, 2])
    state = model.state_dict() | {
        "mean": torch.tensor(np.stack([ball.vertices - [20, 0, 0]] * 5)),
        "modes": torch.tensor(np.stack([taller[None]] * 5)),
        "standard_deviations": torch.full((5, 1), 0.25 * np.linalg.norm(ball.vertices[:, 2])),
        "triangles": torch.tensor(ball.faces),
        "landmark_weights": torch.ones(7, 1),
    }
    model.load_state_dict(state)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    mode_picture(str(tmp_path / "model.pt"), str(tmp_path / "modes.png"), levels=("L3",), modes=1, deviations=1.0)
    drawn = (np.asarray(Image.open(tmp_path / "modes.png")) < 250).any(-1)
    drawn[:24] = drawn[150:174] = False  # the titles
    tiles = drawn.reshape(2, 150, 3, 190)
    side, above = tiles.any(3).sum(1)
    assert 0.7 < side[1] / side[0] < 0.85 and 1.15 < side[2] / side[0] < 1.3
    assert np.abs(above - above[0]).max() <= 2
