"""The verb that calibrates a pair of films from what they show of the spine."""

from __future__ import annotations

import warnings

import numpy as np

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.bundle_paths import MULTITASK, RECONSTRUCTION, bundle_dir
from lumbar_ext.io.calibration import write_calibration
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.landmarks.triangulated import ViewLandmarks
from lumbar_ext.radiographs.formats import read_radiograph
from lumbar_ext.registration.self_calibration import expected_geometry, geometry_angle_deg
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel
from lumbar_ext.workflow.film_calibration import FilmCalibration, SeenFilms, film_priors
from lumbar_ext.workflow.network_bundle import load_locating_networks
from lumbar_ext.workflow.options import FilmOptions

NETWORK = "network"


def calibrate_films(
    ap_image: str,
    lat_image: str,
    output: str,
    *,
    landmarks: str = NETWORK,
    marked_points: str = "",
    pixel_spacing_mm: float | None = None,
    ap_detector_mm: float | None = None,
    ap_person_mm: float | None = None,
    lat_detector_mm: float | None = None,
    lat_person_mm: float | None = None,
    known_to_mm: float = 20.0,
    posteroanterior: bool | None = None,
    lateral_from_right: bool | None = None,
    marker_mm: float | None = None,
) -> None:
    """Writes the calibration of two films of a room that nobody calibrated: a cone beam each, in the usual display orientation.

    The network looks at each film alone and names the vertebrae on it; cameras, vertebrae and landmarks are then adjusted
    together. The file says how well the cameras are known, and reconstructions heed that.

    Args:
        ap_image: the AP or PA film, the person's left on its right unless its DICOM Patient Orientation says otherwise.
        lat_image: the lateral film, the person's front on its left, likewise.
        output: the JSON file to write.
        landmarks: `network` for what the network sees; `landmarks.json` of a reconstruction of these films, whose pixels are
            used; empty for none: the file then holds what is expected of any two films, 90 degrees apart.
        marked_points: CSV file (`view,point,u_px,v_px`) of `marker_start` and `marker_end` on both films; empty for none.
        pixel_spacing_mm: on the detector, of films that do not state it (PNG).
        ap_detector_mm: distance from the source to the detector of the AP film; 1150 +- 100 if omitted.
        ap_person_mm: distance from the source to the middle of the spine; 900 +- 80 if omitted.
        lat_detector_mm: the same of the lateral film.
        lat_person_mm: the same of the lateral film.
        known_to_mm: standard deviation of the distances that are given.
        posteroanterior: whether the source stood behind the person in the first film; by its DICOM View Position if omitted,
            else not.
        lateral_from_right: whether it stood on the person's right in the second; likewise.
        marker_mm: length of that marker, which then sets the scale.

    Raises:
        InputError: for a file that cannot be used, a film without pixel spacing, or films that are no pair of one spine.
    """
    options = FilmOptions(
        pixel_spacing_mm,
        ap_detector_mm,
        ap_person_mm,
        lat_detector_mm,
        lat_person_mm,
        known_to_mm,
        posteroanterior,
        lateral_from_right,
        marker_mm,
    )
    radiographs = {view: read_radiograph(image) for view, image in zip(VIEWS, (ap_image, lat_image), strict=True)}
    films = film_priors(radiographs, options)
    if not landmarks:
        write_calibration(expected_geometry(films), output)
        print(f"{output}: what is expected of two films 90 deg apart, not what they show; see --landmarks")
        return
    model = VertebraShapeModel.load(bundle_dir(RECONSTRUCTION) / "models" / "model.pt")
    seen = None if landmarks == NETWORK else _of_file(landmarks)
    networks = load_locating_networks(bundle_dir(MULTITASK)) if seen is None else (None, None)
    found = FilmCalibration(*networks, model, options).find(radiographs, marked_points, seen)
    for doubt in found.doubts:
        warnings.warn(doubt, stacklevel=2)
    angle, known = geometry_angle_deg(found.geometry), found.uncertainty
    write_calibration(found.geometry, output, known)
    print(f"{output}: {angle:.1f} ± {known.angle_sd_deg:.1f} deg between the films; scale from {known.scale_from}")


def _of_file(path: str) -> SeenFilms:
    found = read_landmarks(path)
    landmarks = {view: ViewLandmarks(found.positions_px[view], np.nan_to_num(found.confidence[view])) for view in VIEWS}
    return SeenFilms(landmarks, found.anchors.positions_px)
