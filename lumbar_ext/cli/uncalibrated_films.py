"""The verb that calibrates a pair of films from what they show of the spine."""

from __future__ import annotations

import numpy as np

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.bundle_paths import MULTITASK, RECONSTRUCTION, bundle_dir
from lumbar_ext.errors import InputError
from lumbar_ext.io.calibration import CameraUncertainty, write_calibration
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.landmarks.triangulated import ViewLandmarks
from lumbar_ext.radiographs.formats import read_radiograph
from lumbar_ext.radiographs.radiograph import Radiograph, with_bone_bright
from lumbar_ext.registration.self_calibration import FilmPrior, expected_geometry, self_calibrate
from lumbar_ext.shape.model.level_shape import level_shapes
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel
from lumbar_ext.transforms.single_view import displayed_camera
from lumbar_ext.workflow.locate_and_look import see_located
from lumbar_ext.workflow.network_bundle import load_locating_networks
from lumbar_ext.workflow.observe import naming_the_persons_sides

NETWORK = "network"
_USUAL = FilmPrior((2, 2), (1.0, 1.0))


def calibrate_films(
    ap_image: str,
    lat_image: str,
    output: str,
    *,
    landmarks: str = NETWORK,
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

    The network looks at each film alone and names the vertebrae on it; cameras, vertebrae and landmarks are then adjusted
    together. The file says how well the cameras are known, and reconstructions heed that.

    Args:
        ap_image: the AP or PA film, the person's left on its right.
        lat_image: the lateral film, the person's front on its left.
        output: the JSON file to write.
        landmarks: `network` for what the network sees; `landmarks.json` of a reconstruction of these films, whose pixels are
            used; empty for none: the file then holds what is expected of any two films, 90 degrees apart.
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
    films, radiographs = {}, {}
    for view, image in zip(VIEWS, (ap_image, lat_image), strict=True):
        film = radiographs[view] = read_radiograph(image)
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
    seen = seen_by_network(radiographs, films) if landmarks == NETWORK else _of_file(landmarks)
    model = VertebraShapeModel.load(bundle_dir(RECONSTRUCTION) / "models" / "model.pt")
    calibrated = self_calibrate(seen, [shape.landmark_mean_mm for shape in level_shapes(model)], films)
    angle, sure = calibrated.angle_deg
    write_calibration(calibrated.geometry, output, CameraUncertainty(calibrated.size_sd, sure, calibrated.scale_from))
    print(f"{output}: {angle:.1f} ± {sure:.1f} deg between the films; scale from {calibrated.scale_from}")


def _of_file(path: str) -> dict[str, ViewLandmarks]:
    found = read_landmarks(path)
    return {view: ViewLandmarks(found.positions_px[view], np.nan_to_num(found.confidence[view])) for view in VIEWS}


def seen_by_network(radiographs: dict[str, Radiograph], films: dict[str, FilmPrior]) -> dict[str, ViewLandmarks]:
    """What the network sees on each film by itself, in the film's pixels; the person's own sides."""
    network, locator = load_locating_networks(bundle_dir(MULTITASK))
    found = {}
    for view, film in films.items():
        camera = displayed_camera(film.size_px, film.pixel_spacing_mm)
        pixels = with_bone_bright(radiographs[view]).pixels.astype(np.float32)
        seen, _ = see_located(network, locator, pixels, camera, "ap")
        decoded = seen.decoded
        if view == "lat" and film.reversed_beam:
            # The network takes the source to stand on the person's left.
            decoded = naming_the_persons_sides(decoded)
        positions = seen.canonical.to_original_px(decoded.landmarks_px)
        found[view] = ViewLandmarks(positions, decoded.landmark_confidence)
    return found
