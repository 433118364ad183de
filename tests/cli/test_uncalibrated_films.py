"""Two films of known distances, and the landmarks on them, give a calibration."""

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.bundle_paths import RECONSTRUCTION, bundle_dir
from lumbar_ext.cli.uncalibrated_films import calibrate_films
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import triangulate
from lumbar_ext.io import read_calibration
from lumbar_ext.io.calibration import read_camera_uncertainty
from lumbar_ext.landmarks.study_landmarks import StudyLandmarks, write_landmarks
from lumbar_ext.registration.self_calibration import geometry_angle_deg
from lumbar_ext.shape.model.level_shape import level_shapes
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel
from lumbar_ext.studies.biplanar_study import read_study

SIZE = (512, 512)


@pytest.fixture
def films(tmp_path):
    for view in VIEWS:
        grey = np.random.default_rng(len(view)).integers(0, 255, SIZE).astype(np.uint8)
        Image.fromarray(grey).save(tmp_path / f"{view}.png")
    return [str(tmp_path / name) for name in ("ap.png", "lat.png", "calibration.json")]


def test_without_landmarks_it_is_what_is_expected(films, capsys):
    calibrate_films(*films, landmarks="", pixel_spacing_mm=0.834, ap_detector_mm=1200.0, ap_person_mm=950.0)
    read = read_calibration(films[2])
    assert geometry_angle_deg(read) == pytest.approx(90)
    assert abs(read.ap.source_distance_mm) == pytest.approx(1200)
    np.testing.assert_allclose(read.ap.source_mm, [950, 0, 0], atol=1e-9)
    assert "not what they show" in capsys.readouterr().out


def test_landmarks_turn_the_lateral_film(films, tmp_path, capsys):
    """Marks of a spine that the expected cameras would see, but for a lateral film 8 deg farther round."""
    known = {"ap_detector_mm": 1150.0, "ap_person_mm": 900.0, "lat_detector_mm": 1150.0, "lat_person_mm": 900.0}
    calibrate_films(*films, landmarks="", pixel_spacing_mm=0.834, **known)
    expected = read_calibration(films[2])
    model = VertebraShapeModel.load(bundle_dir(RECONSTRUCTION) / "models" / "model.pt")
    heights = np.array([[0, 0, 72.0 - 36 * i] for i in range(5)])
    points = np.stack([shape.landmark_mean_mm for shape in level_shapes(model)]) + heights[:, None]
    turn = Rotation.from_euler("z", 8, degrees=True)
    turned = turn.inv().apply(points.reshape(-1, 3)).reshape(points.shape)
    seen = {"ap": expected.ap.project(points), "lat": expected.lat.project(turned)}
    sure = {view: np.ones((5, 7)) for view in VIEWS}
    marks = StudyLandmarks(points, seen, sure, np.zeros((5, 7)))
    write_landmarks(tmp_path / "landmarks.json", marks)
    calibrate_films(*films, landmarks=str(tmp_path / "landmarks.json"), pixel_spacing_mm=0.834, **known)
    assert geometry_angle_deg(read_calibration(films[2])) == pytest.approx(98, abs=3)
    assert "scale from the distances of the sources" in capsys.readouterr().out


def test_a_film_without_spacing_needs_one(films):
    with pytest.raises(InputError, match="states no pixel spacing"):
        calibrate_films(*films)


@pytest.mark.parametrize(
    "known", [{"lat_person_mm": 1300.0}, {"ap_detector_mm": 880.0}, {"ap_detector_mm": 1500.0, "ap_person_mm": 500.0}]
)
def test_a_magnification_that_nobody_can_have_is_refused(films, known):
    with pytest.raises(InputError, match=r"magnify \d\.\d\d times, expected 1.02 to 2.5"):
        calibrate_films(*films, landmarks="", pixel_spacing_mm=0.834, **known)


def test_the_network_finds_the_cameras_of_the_sample(tmp_path, capsys):
    """Whose distances are stated 20 mm wrong: what the true cameras see lies as it should, but for its size."""
    sample = bundle_dir(RECONSTRUCTION) / "sample"
    true, output = read_calibration(sample / "calibration.json"), tmp_path / "found.json"
    known = {f"{view}_detector_mm": abs(true[view].source_distance_mm) + 20 for view in VIEWS}
    paths = [str(sample / "ap.png"), str(sample / "lat.png"), str(output)]
    calibrate_films(*paths, pixel_spacing_mm=true.ap.pixel_spacing_mm[0], **known)
    uncertainty, found = read_camera_uncertainty(output), read_calibration(output)
    apart_deg = geometry_angle_deg(found) - geometry_angle_deg(true)
    assert 0 < uncertainty.size_sd < 0.08 and abs(apart_deg) < 3 * uncertainty.angle_sd_deg < 20
    assert "deg between the films" in capsys.readouterr().out
    heights = np.array([[0, 0, 72.0 - 36 * i] for i in range(5)])
    seen = {view: true[view].project(heights) for view in VIEWS}
    again = triangulate(found.ap, found.lat, seen["ap"], seen["lat"])
    lengths = np.linalg.norm(np.diff(again.points_mm, axis=0), axis=1)
    np.testing.assert_allclose(lengths, lengths.mean(), rtol=0.01)
    assert lengths.mean() == pytest.approx(36, rel=3 * uncertainty.size_sd) and again.gap_mm.max() < 2
    with pytest.warns(UserWarning, match="the cameras are not calibrated: lengths are known to"):
        study = read_study(*paths)
    assert study.uncertainty == uncertainty
