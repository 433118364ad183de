import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.geometry import BiplanarGeometry


def test_views_are_found_by_name_and_their_angle_measured(ap_camera, lat_camera):
    geometry = BiplanarGeometry(ap_camera, lat_camera)
    assert geometry["ap"] is ap_camera and geometry["lat"] is lat_camera
    cosine = abs(ap_camera.central_direction @ lat_camera.central_direction)
    assert geometry.angle_deg == pytest.approx(np.degrees(np.arccos(cosine)))
    assert 85 < geometry.angle_deg <= 90


def test_swapped_views_are_refused(ap_camera, lat_camera):
    with pytest.raises(InputError, match="look swapped"):
        BiplanarGeometry(lat_camera, ap_camera)


def test_parallel_views_are_refused(ap_camera):
    with pytest.raises(InputError, match=r"parallel or nearly so: 0\.0 deg"):
        BiplanarGeometry(ap_camera, ap_camera)


def test_mirrored_or_turned_images_are_the_same_geometry(ap_camera, lat_camera):
    plain = BiplanarGeometry(ap_camera, lat_camera).angle_deg
    turned = BiplanarGeometry(ap_camera.flipped_u(), lat_camera.transposed()).angle_deg
    assert turned == pytest.approx(plain)
