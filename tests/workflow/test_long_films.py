"""Films larger than the network's grid: the part with the spine is found wherever it is, or the user is told."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.geometry import BiplanarGeometry
from lumbar_ext.studies.biplanar_study import read_study
from lumbar_ext.workflow.observe import observe, spine_on_grids, to_network_grids


@pytest.fixture(scope="module")
def study(true_study):
    paths = true_study.inputs("unused")
    return read_study(paths["ap_image"], paths["lat_image"], paths["calibration"])


def lengthened(study, above, left=0, below=0):
    """The study's films with empty rows and columns around them, whose cameras say so."""
    views, cameras = {}, {}
    for view in ("ap", "lat"):
        film, camera = study[view], study.geometry[view]
        pixels = np.pad(film.pixels, ((above, below), (left, 0)), mode="edge")
        views[view] = replace(film, pixels=pixels)
        du, dv = camera.pixel_spacing_mm
        origin = camera.detector_origin_mm - left * du * camera.u_axis - above * dv * camera.v_axis
        cameras[view] = replace(camera, detector_origin_mm=origin, size_px=pixels.shape[::-1])
    return replace(study, **views, geometry=BiplanarGeometry(cameras["ap"], cameras["lat"]))


@pytest.mark.parametrize("around", [{"above": 700}, {"above": 0, "below": 900}, {"above": 600, "left": 500}])
def test_a_spine_anywhere_on_a_long_film_is_found_where_it_is(study, true_study, perfect_network, around):
    network = perfect_network(true_study)
    whole, film = observe(network, to_network_grids(study)), lengthened(study, **around)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        found = observe(network, spine_on_grids(network, film))
    for view in ("ap", "lat"):
        assert found.decoded[view].present.all()
        places = [own.canonical[view].to_original_px(own.decoded[view].landmarks_px) for own in (whole, found)]
        moved = np.array([around.get("left", 0), around["above"]])
        np.testing.assert_allclose(places[1], places[0] + moved, atol=1e-6)


def test_a_long_film_without_a_whole_spine_is_told(study, true_study, perfect_network):
    network = perfect_network(true_study, hidden=("L1",))
    with pytest.warns(UserWarning, match=r"ap\.png: larger than the 427 x 427 mm .* cropped .* no part shows all five"):
        spine_on_grids(network, lengthened(study, above=700))


def test_other_films_are_taken_as_they_are(study, perfect_network, true_study):
    """Without asking the network."""
    for view, seen in spine_on_grids(None, study).items():
        np.testing.assert_array_equal(seen.pixels, to_network_grids(study)[view].pixels)
