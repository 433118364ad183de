"""The weights a server uses."""

import logging

import numpy as np

from lumbar_ext.bundle_paths import bundles_dir
from lumbar_ext.label.seen_radiograph import NetworkBundle, SeenRadiograph


def test_weights_of_the_former_network_are_not_used_and_that_is_said(tmp_path, caplog, monkeypatch):
    logger = logging.getLogger("lumbar_ext.label.seen_radiograph")
    monkeypatch.setattr(logger, "disabled", False)
    (tmp_path / "multitask.pt").write_bytes(b"trained by an earlier version")
    with caplog.at_level(logging.WARNING, logger=logger.name):
        network = NetworkBundle(bundles_dir(), tmp_path)
    assert "multitask.pt: weights of the first generation" in caplog.text
    assert not network.weights().trained_here


def test_a_crop_lies_on_its_film_by_millimetres():
    """A bright pixel of the crop, 30 x 20 px of 0.834 mm from its corner, which is 12 x 34 mm into a film of 0.417 mm."""
    decomposition = np.zeros((384, 256), np.float32)
    decomposition[18:23, 28:33] = 1.0
    seen = SeenRadiograph(np.zeros((5, 7, 2)), np.zeros((5, 7)), decomposition, (12.0, 34.0))
    film = seen.on_film((900, 1100), (0.417, 0.417))
    rows, columns = np.nonzero(film > 0.5)
    assert film.shape == (1100, 900)
    np.testing.assert_allclose([columns.mean(), rows.mean()], [12 / 0.417 + 60, 34 / 0.417 + 40], atol=0.5)
