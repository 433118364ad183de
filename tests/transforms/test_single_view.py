import numpy as np
import pytest
import torch

from lumbar_ext.errors import InputError
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.radiographs.nifti import read_nifti_image, write_nifti_image
from lumbar_ext.transforms.single_view import DecodeViewd, LoadViewd, SaveViewd
from lumbar_ext.transforms.targets import encode_target


@pytest.fixture
def radiograph(tmp_path):
    """A NIfTI radiograph of 300 columns x 400 rows at 1.2 mm."""
    pixels = np.random.default_rng(0).uniform(0, 1000, (400, 300))
    write_nifti_image(tmp_path / "spine.nii.gz", pixels, (1.2, 1.2))
    return tmp_path / "spine.nii.gz"


def test_the_image_is_brought_to_the_network_grid(radiograph):
    data = LoadViewd(polarity="bone_bright")({"image": radiograph, "view": "lat"})
    assert data["image"].shape == (1, 512, 512)
    assert data["original_size_px"].tolist() == [300, 400]
    scale, offset = data["original_from_network"].numpy()
    assert scale == pytest.approx([0.834 / 1.2] * 2)
    assert 255.5 * scale + offset == pytest.approx([149.5, 199.5])


def test_landmarks_return_to_the_pixels_of_the_file(radiograph, tmp_path):
    """Landmarks of a known target, placed on the network grid, are written in the file's own pixels."""
    loaded = LoadViewd(polarity="bone_bright")({"image": radiograph, "view": "lat"})
    centres = np.array([256.0, 100.0]) + np.arange(5)[:, None] * [0, 60]
    on_grid = centres[:, None] + np.random.default_rng(0).uniform(-20, 20, (5, 7, 2))
    target = encode_target(torch.rand(512, 512), on_grid, np.array([1, 1, 0, 1, 1]))
    SaveViewd(tmp_path / "out")(DecodeViewd()({**loaded, "pred": target}))
    found = read_landmarks(tmp_path / "out" / "spine_landmarks.json")
    scale, offset = loaded["original_from_network"].numpy()
    expected = np.where(np.array([1, 1, 0, 1, 1], bool)[:, None, None], on_grid * scale + offset, np.nan)
    assert np.allclose(found.lat_px, expected, atol=0.05, equal_nan=True)
    assert np.isnan(found.ap_px).all()
    assert read_nifti_image(tmp_path / "out" / "spine_decomposition.nii.gz")[0].shape == (512, 512)


def test_an_unknown_view_is_refused(radiograph):
    with pytest.raises(InputError, match="view"):
        LoadViewd()({"image": radiograph, "view": "oblique"})
