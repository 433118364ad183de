import numpy as np
import pytest

from lumbar_ext.geometry import ConeBeam, SlotScan


@pytest.fixture(scope="session")
def cameras():
    """Both views, a slot scan, and the same detectors read mirrored, turned and on a coarse, uneven grid."""
    half = 0.834 * 255.5
    ap = ConeBeam([900, 0, 0], [-250, -half, half], [0, 1, 0], [0, 0, -1], (0.834, 0.834), (512, 512))
    lat = ConeBeam([0, 900, 0], [half, -250, half], [-1, 0, 0], [0, 0, -1], (0.834, 0.834), (512, 512))
    return {
        "ap": ap,
        "slot": SlotScan([900, 0, 0], [-250, -half, half], [0, 1, 0], [0, 0, -1], (0.834, 0.834), (512, 512)),
        "lat": lat,
        "ap flipped": ap.flipped_u(),
        "lat upside down": lat.flipped_v(),
        "ap transposed": ap.transposed(),
        "lat turned, coarse": lat.transposed().flipped_u().resampled(size_px=(200, 240), pixel_spacing_mm=(2.0, 1.6)),
    }


def pixel_rays(camera):
    """Origin [3] and unit directions [rows, columns, 3]."""
    columns, rows = camera.size_px
    uv = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1)
    rays = camera.backproject(uv)
    return rays.origin_mm, rays.directions


@pytest.fixture(scope="session")
def rays():
    return pixel_rays
