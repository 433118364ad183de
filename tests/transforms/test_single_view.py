import numpy as np
import pytest
import torch

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.radiographs.nifti import read_nifti_image, read_nifti_origin, write_nifti_image
from lumbar_ext.radiographs.png import write_png
from lumbar_ext.transforms.multitask_targets import encode_target
from lumbar_ext.transforms.single_view import (
    DecodeViewd,
    LoadViewd,
    SaveViewd,
    output_names,
    refuse_nothing,
    view_items,
)


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
    assert np.allclose(found.positions_px["lat"], expected, atol=0.05, equal_nan=True)
    assert np.isnan(found.positions_px["ap"]).all()
    scores = dict(zip(LEVELS, [1.0, 1.0, 0.0, 1.0, 1.0], strict=True))
    assert found.level_scores == {"lat": pytest.approx(scores, abs=0.01)}
    written = tmp_path / "out" / "spine_decomposition.nii.gz"
    assert read_nifti_image(written)[0].shape == (512, 512)
    # where viewers show it: its first pixel, in mm from the film's
    assert read_nifti_origin(written) == pytest.approx(tuple(1.2 * offset), abs=1e-4)


def test_a_spacing_that_is_assumed_and_a_film_without_vertebrae_are_told(tmp_path):
    write_png(tmp_path / "film.png", np.random.default_rng(0).uniform(0, 60000, (512, 512)).astype(np.uint16))
    load = LoadViewd(polarity="bone_bright")
    with pytest.warns(UserWarning, match=r"film\.png: states no pixel spacing, 0\.834 mm are taken"):
        loaded = load({"image": tmp_path / "film.png", "view": "ap"})
    nothing = encode_target(torch.zeros(512, 512), np.zeros((5, 7, 2)), np.zeros(5, bool))
    with pytest.warns(UserWarning, match=r"film\.png: no lumbar vertebra was found \(score 0\.3\)"):
        DecodeViewd()({**loaded, "pred": nothing})


def test_an_unknown_view_is_refused(radiograph):
    with pytest.raises(InputError, match="view"):
        LoadViewd()({"image": radiograph, "view": "oblique"})


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["spine.png"], ["spine"]),
        (["1.2.826.0.1", "1.2.826.0.2"], ["1.2.826.0.1", "1.2.826.0.2"]),
        (["1.2.826.1.dcm", "1.2.826.2.dcm"], ["1.2.826.1", "1.2.826.2"]),
        (["ap.png", "ap.dcm", "lat.nii.gz"], ["ap.png", "ap.dcm", "lat"]),
        (["visit.1.PNG", "visit.1.nii"], ["visit.1.PNG", "visit.1.nii"]),
        ([".png"], [".png"]),
    ],
)
def test_outputs_never_share_a_name(names, expected):
    assert output_names([f"folder/{name}" for name in names]) == expected


@pytest.fixture
def folder(tmp_path):
    """Two radiographs among files that are none."""
    for name in ("b.png", "a.png"):
        write_png(tmp_path / name, (np.arange(64 * 64) * 16 % 65536).reshape(64, 64).astype(np.uint16))
    (tmp_path / ".DS_Store").write_bytes(b"\0\0\0\1Bud1" + bytes(100))
    (tmp_path / "._a.png").write_bytes(b"\0\5\x16\7" + bytes(100))
    (tmp_path / "calibration.json").write_text("{}")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "folder.png").mkdir()
    return tmp_path


def test_what_is_no_radiograph_is_named_and_left_out(folder):
    with pytest.warns(UserWarning) as told:
        items = view_items("", str(folder), "lat")
    assert items == [{"image": str(folder / f"{n}.png"), "view": "lat", "name": n} for n in "ab"]
    said = " ".join(str(warning.message) for warning in told)
    assert all(f"left out: {folder / n}" in said for n in (".DS_Store", "._a.png", "calibration.json", "cut.png"))


def test_results_that_lie_beside_the_radiographs_are_no_radiographs(folder):
    for name in "ac":
        write_nifti_image(folder / f"{name}_decomposition.nii.gz", np.arange(64.0 * 64).reshape(64, 64), (1.0, 1.0))
    (folder / "a_landmarks.json").write_text("{}")
    with pytest.warns(UserWarning, match=r"left out: .*a_decomposition\.nii\.gz: a decomposition"):
        items = view_items("", str(folder), "ap")
    # Somebody's own file of such a name, without landmarks beside it, is looked at as any other.
    assert [item["name"] for item in items] == ["a", "b", "c_decomposition"]


def test_a_file_in_place_of_the_output_folder_is_named_before_any_work(radiograph):
    with pytest.raises(InputError, match=r"spine\.nii\.gz: not usable as output folder"):
        SaveViewd(radiograph)


def test_nothing_to_do_is_an_error(tmp_path):
    (tmp_path / "none").mkdir()
    for name, message in (("nowhere", "no such folder"), ("none", "holds no radiograph")):
        items = view_items("", str(tmp_path / name), "ap")
        with pytest.raises(InputError, match=f"{name}: {message}"):
            refuse_nothing(items, str(tmp_path / name))
    refuse_nothing(view_items("a.png", "nowhere", "ap"), "nowhere")
