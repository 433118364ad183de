"""A radiograph and its truth come to the network grid together."""

import numpy as np

from lumbar_ext.anatomy import LEFT_RIGHT_SWAP
from lumbar_ext.geometry import ConeBeam
from lumbar_ext.transforms.view_truth import halve, truth_on_grid


def test_halving_keeps_the_centroid_of_an_image():
    image = np.zeros((8, 8))
    image[2:4, 4:6] = 1.0
    small = halve(image)
    assert small[1, 2] == 1.0 and small.sum() == 1.0


def test_a_lateral_view_from_the_right_keeps_bone_under_its_landmarks_and_names_the_sides_it_seems_to_show():
    """Rows and columns of the film are exchanged, and the beam runs towards the person's left."""
    camera = ConeBeam([0, -1000, 0], [0, 300, 0], [0, 0, -1], [1, 0, 0], (0.5, 0.5), (700, 600))
    landmarks_px = np.random.default_rng(0).integers(200, 400, (5, 7, 2)).astype(float)
    bone = np.zeros((600, 700), np.float32)
    for u, v in landmarks_px.reshape(-1, 2).astype(int):
        bone[v - 2 : v + 3, u - 2 : u + 3] = 0.8
    truth, seen = truth_on_grid(bone, bone, landmarks_px, camera, "lat")
    assert seen.swap_left_right and truth.present.all()
    columns, rows = np.rint(truth.landmarks_px).astype(int).reshape(-1, 2).T
    assert truth.decomposition[rows, columns].min() > 0.7
    back_px = seen.to_original_px(truth.landmarks_px[:, list(LEFT_RIGHT_SWAP)])
    np.testing.assert_allclose(back_px, landmarks_px, atol=1e-9)
