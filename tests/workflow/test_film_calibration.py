"""One command for two films that nobody calibrated: the word films in place of a calibration file."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.bundle_paths import RECONSTRUCTION, bundle_dir
from lumbar_ext.errors import InputError
from lumbar_ext.io import read_calibration
from lumbar_ext.io.calibration import CameraUncertainty, read_camera_uncertainty
from lumbar_ext.landmarks.marked_points import MARKER_ENDS
from lumbar_ext.landmarks.triangulated import ViewLandmarks
from lumbar_ext.radiographs.radiograph import Radiograph
from lumbar_ext.registration.self_calibration import FilmPrior, expected_geometry
from lumbar_ext.shape.model.level_shape import level_shapes
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel
from lumbar_ext.studies.biplanar_study import FoundCameras
from lumbar_ext.transforms.canonical import to_network_grid
from lumbar_ext.workflow.film_calibration import (
    FilmCalibration,
    SeenFilms,
    film_priors,
    grid_of,
    marker_of,
    seen_by_network,
)
from lumbar_ext.workflow.options import FilmOptions

KNOWN = CameraUncertainty(0.03, 2.5, "the size of people")
ENDS = {view: {name: np.array([10.0 * i, 5.0]) for i, name in enumerate(MARKER_ENDS)} for view in VIEWS}


class Finder(FilmCalibration):
    """Finds the true cameras of a study, and notes what it was given."""

    def __init__(self, geometry, options=None):
        super().__init__(None, None, None, options or FilmOptions())
        self.geometry, self.given = geometry, []

    def find(self, radiographs, marked_points="", seen=None):
        self.given.append((set(radiographs), marked_points))
        return FoundCameras(self.geometry, KNOWN, ("the films hang askew",))


def test_the_word_films_finds_the_cameras_tells_so_and_leaves_them(true_study, reconstruct, tmp_path):
    finder = Finder(true_study.geometry)
    reconstruct(true_study, tmp_path, calibration="films", film_calibration=finder, refine_cameras=False)
    assert finder.given == [(set(VIEWS), "")]
    run = json.loads((tmp_path / "run.json").read_text())
    assert set(run["inputs"]) == {"ap_image", "lat_image"}
    told = [text for text in run["warnings"] if text.startswith("the films")]
    assert told[0].startswith("the films: the cameras are not calibrated: lengths are known to 3.0%")
    assert "the scale rests on the size of people" in told[0] and told[1] == "the films hang askew"
    assert "the scale rests on the size of people" in (tmp_path / "report.html").read_text()
    left = read_calibration(tmp_path / "found_cameras.json")
    for view in VIEWS:
        for name in ("source_mm", "detector_origin_mm", "u_axis", "v_axis"):
            np.testing.assert_array_equal(getattr(left[view], name), getattr(true_study.geometry[view], name))
    assert read_camera_uncertainty(tmp_path / "found_cameras.json") == KNOWN


def test_what_is_known_of_films_is_not_ignored_beside_a_calibration_file(true_study, reconstruct, tmp_path):
    finder = Finder(true_study.geometry, FilmOptions(ap_person_mm=900.0))
    with pytest.raises(InputError, match="expected the word films in its place"):
        reconstruct(true_study, tmp_path / "out", film_calibration=finder)
    assert not finder.given and not (tmp_path / "out").exists()


def test_a_marker_needs_its_length_and_both_ends_in_both_views():
    marker = marker_of(ENDS, 100.0)
    assert marker.length_mm == 100 and marker.ends_px["lat"].tolist() == [[0, 5], [10, 5]]
    nothing = {view: {} for view in VIEWS}
    assert marker_of(nothing, None) is None
    for marked, length in ((ENDS, None), (nothing, 100.0), ({**ENDS, "lat": {}}, 100.0)):
        with pytest.raises(InputError, match="--marker_mm states its length"):
            marker_of(marked, length)


def test_the_network_of_the_first_generation_is_refused():
    films = {view: FilmPrior((8, 8), (1.0, 1.0)) for view in VIEWS}
    with pytest.raises(InputError, match="first generation finds no cameras"):
        seen_by_network({}, films, None, None)


def film(name, **tags):
    pixels = np.random.default_rng(0).random((64, 48)).astype(np.float32)
    return Radiograph(pixels, Path(name), 8, (0.5, 0.5), **tags)


def test_tags_tell_how_films_lie_and_where_the_source_stood_unless_the_user_does():
    tagged = {
        "ap": film("ap.dcm", orientation=("R", "F"), view_position="PA"),
        "lat": film("lat.dcm", orientation=("A", "F"), view_position="LL"),
    }
    priors = film_priors(tagged, FilmOptions())
    assert all(prior.mirrored and prior.reversed_beam for prior in priors.values())
    stated = film_priors(tagged, FilmOptions(posteroanterior=False, lateral_from_right=False))
    assert not any(prior.reversed_beam for prior in stated.values())
    usual = {
        "ap": film("ap.dcm", orientation=("L", "F"), view_position="AP"),
        "lat": film("lat.dcm", orientation=("P", "F"), view_position="RL"),
    }
    for films in (usual, {view: film(f"{view}.png") for view in VIEWS}):
        assert not any(prior.mirrored or prior.reversed_beam for prior in film_priors(films, FilmOptions()).values())


def test_the_network_is_shown_a_mirrored_film_as_it_usually_hangs():
    radiograph = film("ap.dcm", orientation=("R", "F"))
    prior = film_priors({view: radiograph for view in VIEWS}, FilmOptions())["ap"]
    shown = to_network_grid(radiograph.pixels, grid_of(prior), "ap")
    turned = to_network_grid(radiograph.pixels[:, ::-1], grid_of(replace(prior, mirrored=False)), "ap")
    np.testing.assert_array_equal(shown.pixels, turned.pixels)
    place_px = np.array([265.0, 258.0])
    np.testing.assert_allclose(shown.to_original_px(place_px)[0], 47 - turned.to_original_px(place_px)[0])


@pytest.mark.parametrize(
    ("orientation", "position", "told"),
    [
        (None, None, "and no tag confirms that;"),
        (None, "PA", "and no tag confirms that;"),
        (("L", "F"), None, None),
        (("R", "F"), "LL", None),
        (("P", "F"), None, "and its tags are not those of such a film (Patient Orientation P\\F);"),
        (None, "LL", "and its tags are not those of such a film (View Position LL);"),
        (("F", "L"), "RL", "(Patient Orientation F\\L, View Position RL);"),
    ],
)
def test_sides_that_rest_on_how_the_film_lies_are_said_to(orientation, position, told):
    """Seen by cameras that are expected of these films, so that nothing has to be found."""
    options = FilmOptions(pixel_spacing_mm=0.834)
    films = {
        "ap": Radiograph(
            np.eye(512, dtype=np.float32), Path("ap.dcm"), 8, orientation=orientation, view_position=position
        ),
        "lat": Radiograph(np.eye(512, dtype=np.float32), Path("lat.dcm"), 8),
    }
    model = VertebraShapeModel.load(bundle_dir(RECONSTRUCTION) / "models" / "model.pt")
    heights = np.array([[0, 0, 72.0 - 36 * i] for i in range(5)])
    points = np.stack([shape.landmark_mean_mm for shape in level_shapes(model)]) + heights[:, None]
    expected = expected_geometry(film_priors(films, options))
    landmarks = {view: ViewLandmarks(expected[view].project(points), np.ones((5, 7))) for view in VIEWS}
    nothing = {view: np.full((6, 2), np.nan) for view in VIEWS}
    found = FilmCalibration(None, None, model, options).find(films, seen=SeenFilms(landmarks, nothing))
    doubts = [text for text in found.doubts if "left and right are told from how the film lies" in text]
    assert len(doubts) == (told is not None) and all(told in text for text in doubts)
