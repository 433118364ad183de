"""Films measured as the network sees them: a crop, against the truth of the whole film."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.network import located_views
from lumbar_ext.evaluation.network.evaluation_views import view_places
from lumbar_ext.evaluation.network.located_views import evaluate_network, measure_film, read_known_film
from lumbar_ext.transforms.augmentation.warp import planar_warp
from lumbar_ext.transforms.canonical import to_network_grid
from lumbar_ext.transforms.spine_crop import CROP_SIZE_PX, covered, crop_view
from lumbar_ext.transforms.spine_decode import decode_spine
from lumbar_ext.transforms.spine_targets import encode_spine_target


@pytest.fixture
def film(write_view_cohort, tmp_path):
    (place, _) = view_places({"plain": write_view_cohort(tmp_path / "cohort", 1)}, {})
    return read_known_film(place)


def knowing_all_of(film, centre_px):
    """A stand-in for the locating network: looks at the crop about a point and answers the truth of that crop."""

    def see(_network, _locator, pixels, camera, view):
        canonical = to_network_grid(pixels, camera, view, size_px=CROP_SIZE_PX[::-1], centre_px=np.array(centre_px))
        warp = planar_warp(np.array(centre_px), CROP_SIZE_PX)
        data = {name: torch.from_numpy(getattr(film, name))[None] for name in ("image", "decomposition")}
        crop = crop_view({**data, "points": film.points}, warp, covered(warp, film.image.shape), mirrored=False)
        target = encode_spine_target(crop["decomposition"], crop["points"], crop["visible"])
        return SimpleNamespace(canonical=canonical, decoded=decode_spine(target)), False

    return see


def test_a_network_that_knows_everything_is_right_on_the_film_wherever_its_crop_lies(film, monkeypatch):
    spine = film.points.centres_px[1:6].mean(axis=0)
    for shift in ((0, 0), (13.3, -20.7)):
        monkeypatch.setattr(located_views, "see_located", knowing_all_of(film, spine + shift))
        scores = measure_film(None, None, film).scores
        assert scores.dice > 0.99 and scores.missed == scores.wrong == 0
        assert scores.landmark_mm < 0.3 and scores.sdr_2mm == 1


def test_a_crop_that_cuts_a_vertebra_off_misses_it(film, monkeypatch):
    """Its upper edge lies between L1 and L2: the truth is the film's, so L1 is missed and missing from the picture."""
    between = film.points.centres_px[1:3].mean(axis=0)
    monkeypatch.setattr(
        located_views, "see_located", knowing_all_of(film, between + np.array([0, CROP_SIZE_PX[0] / 2]))
    )
    scores = measure_film(None, None, film).scores
    assert scores.missed == pytest.approx(0.2) and scores.miscounted == 1
    assert 0.8 < scores.dice < 0.95


def test_the_tables_are_written(write_view_cohort, tmp_path, monkeypatch, capsys):
    folder = write_view_cohort(tmp_path / "cohort", 1)
    monkeypatch.setattr(located_views, "load_locating_networks", lambda *_: (None, None))
    monkeypatch.setattr(
        located_views,
        "see_located",
        lambda n, loc, pixels, camera, view: (
            SimpleNamespace(
                canonical=to_network_grid(pixels, camera, view, size_px=CROP_SIZE_PX[::-1]),
                decoded=decode_spine(torch.zeros(111, CROP_SIZE_PX[0] // 8, CROP_SIZE_PX[1] // 8)),
            ),
            False,
        ),
    )
    evaluate_network({"mine": str(folder)}, output_dir=str(tmp_path / "out"))
    assert "| mine" in capsys.readouterr().out
    assert len((tmp_path / "out" / "views.csv").read_text().splitlines()) == 3
    with pytest.raises(InputError, match="found none"):
        evaluate_network(str(tmp_path))
