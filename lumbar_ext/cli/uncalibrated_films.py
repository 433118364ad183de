"""The verb that calibrates a pair of films from the landmarks on them."""

from __future__ import annotations

import numpy as np

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.bundle_paths import RECONSTRUCTION, bundle_dir
from lumbar_ext.errors import InputError
from lumbar_ext.io import write_calibration
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.landmarks.triangulated import ViewLandmarks
from lumbar_ext.radiographs.formats import read_radiograph
from lumbar_ext.registration.self_calibration import FilmPrior, expected_geometry, self_calibrate
from lumbar_ext.shape.model.level_shape import level_shapes
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel

_USUAL = FilmPrior((2, 2), (1.0, 1.0))


def calibrate_films(
    ap_image: str,
    lat_image: str,
    output: str,
    *,
    landmarks: str = "",
    pixel_spacing_mm: float | None = None,
    ap_detector_mm: float | None = None,
    ap_person_mm: float | None = None,
    lat_detector_mm: float | None = None,
    lat_person_mm: float | None = None,
    known_to_mm: float = 20.0,
    posteroanterior: bool = False,
    lateral_from_right: bool = False,
) -> None:
    """Writes the calibration of two films of a room that nobody calibrated: a cone beam each, in the usual display orientation.

    Without landmarks it is the one that is expected, 90 degrees between the films: reconstruct with it, look through the
    landmarks that it finds, and call this again with them.

    Args:
        ap_image: the AP or PA film, the person's left on its right.
        lat_image: the lateral film, the person's front on its left.
        output: the JSON file to write.
        landmarks: `landmarks.json` of a reconstruction of these films, whose pixels are used; empty for none.
        pixel_spacing_mm: on the detector, of films that do not state it (PNG).
        ap_detector_mm: distance from the source to the detector of the AP film; 1150 +- 100 if omitted.
        ap_person_mm: distance from the source to the middle of the spine; 900 +- 80 if omitted.
        lat_detector_mm: the same of the lateral film.
        lat_person_mm: the same of the lateral film.
        known_to_mm: standard deviation of the distances that are given.
        posteroanterior: whether the source stood behind the person in the first film.
        lateral_from_right: whether it stood on the person's right in the second.

    Raises:
        InputError: for a file that cannot be used, a film without pixel spacing, or films that are no pair of one spine.
    """
    given = {"ap": (ap_detector_mm, ap_person_mm), "lat": (lat_detector_mm, lat_person_mm)}
    reversed_beam = {"ap": posteroanterior, "lat": lateral_from_right}
    films = {}
    for view, image in zip(VIEWS, (ap_image, lat_image), strict=True):
        film = read_radiograph(image)
        spacing = film.pixel_spacing_mm or (None if pixel_spacing_mm is None else (pixel_spacing_mm, pixel_spacing_mm))
        if spacing is None:
            raise InputError(f"{image}: states no pixel spacing, expected --pixel_spacing_mm")
        detector, person = (
            usual if value is None else (value, known_to_mm)
            for value, usual in zip(given[view], (_USUAL.source_detector_mm, _USUAL.source_person_mm), strict=True)
        )
        films[view] = FilmPrior(film.size_px, spacing, detector, person, reversed_beam=reversed_beam[view])
    if not landmarks:
        write_calibration(expected_geometry(films), output)
        print(f"{output}: what is expected of two films 90 deg apart, not what they show; see --landmarks")
        return
    found = read_landmarks(landmarks)
    seen = {view: ViewLandmarks(found.positions_px[view], np.nan_to_num(found.confidence[view])) for view in VIEWS}
    model = VertebraShapeModel.load(bundle_dir(RECONSTRUCTION) / "models" / "model.pt")
    calibrated = self_calibrate(seen, [shape.landmark_mean_mm for shape in level_shapes(model)], films)
    write_calibration(calibrated.geometry, output)
    angle, sure = calibrated.angle_deg
    print(f"{output}: {angle:.1f} ± {sure:.1f} deg between the films; scale from {calibrated.scale_from}")
