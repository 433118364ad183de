"""The cameras of two films that nobody calibrated, from what the network sees on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import nn

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import Camera
from lumbar_ext.io.calibration import CameraUncertainty
from lumbar_ext.landmarks.marked_points import MARKER_ENDS, MarkedPoints, read_marked_points
from lumbar_ext.landmarks.triangulated import ViewLandmarks
from lumbar_ext.radiographs.radiograph import Radiograph, with_bone_bright
from lumbar_ext.registration.self_calibration import FilmPrior, Marker, self_calibrate
from lumbar_ext.shape.model.level_shape import level_shapes
from lumbar_ext.studies.biplanar_study import FoundCameras
from lumbar_ext.transforms.decode import SpineAnchors
from lumbar_ext.transforms.single_view import displayed_camera
from lumbar_ext.transforms.spine_decode import anchor_view, doubt_of_spine
from lumbar_ext.workflow.locate_and_look import see_located
from lumbar_ext.workflow.observe import naming_the_persons_sides
from lumbar_ext.workflow.options import FilmOptions

FROM_FILMS = "films"
"""The word in place of a calibration file where the cameras are to be found from the films; a file of that name is ./films."""

_MAGNIFICATION = (1.02, 2.5)
"""Of a spine on a film: it stands 2 cm from the detector at least, and nearer to it than to the source, or nearly."""

_USUAL = FilmPrior((2, 2), (1.0, 1.0))
_USUAL_WAY = {"ap": {"L": False, "R": True}, "lat": {"P": False, "A": True}}
"""Of u, by the letter of Patient Orientation: whether a film that says so lies mirrored."""
_REVERSED_BEAM = {"ap": {"AP": False, "PA": True}, "lat": {"RL": False, "LL": True}}
"""By View Position, which of a lateral film names the side next to the detector."""


@dataclass(frozen=True)
class SeenFilms:
    """What is seen on two films, each by itself; in their pixels, and of the person's own sides.

    Args:
        landmarks: by view.
        anchors_px: by view, [6, 2] `anatomy.ANCHOR_POINTS`, NaN where not seen.
    """

    landmarks: Mapping[str, ViewLandmarks]
    anchors_px: Mapping[str, np.ndarray]


class FilmCalibration:
    """Finds the cameras of two films.

    Args:
        network: of the second generation; not needed where it is known what is seen on the films, nor is the locator.
        locator: finds the spine on films of any size; None, as of the first generation, finds no cameras.
        shape_model: the shape model, whose mean landmarks people have.
        options: what is known of the films.
    """

    def __init__(
        self, network: nn.Module | None, locator: nn.Module | None, shape_model: nn.Module, options: FilmOptions
    ) -> None:
        self.network, self.locator, self.shape_model, self.options = network, locator, shape_model, options

    def find(
        self, radiographs: Mapping[str, Radiograph], marked_points: str = "", seen: SeenFilms | None = None
    ) -> FoundCameras:
        """The cameras of both films.

        Args:
            radiographs: by view.
            marked_points: CSV file of marked points, in which the ends of a marker may stand.
            seen: what is seen on the films; what the network sees by default.

        Raises:
            InputError: for a film without pixel spacing, a marker without its ends or length, or films that are no pair of one
                spine.
        """
        films = film_priors(radiographs, self.options)
        sizes_px = {view: film.size_px for view, film in films.items()}
        marked = read_marked_points(marked_points, sizes_px) if marked_points else {view: {} for view in VIEWS}
        marker = marker_of(marked, self.options.marker_mm)
        seen = seen or seen_by_network(radiographs, films, self.network, self.locator)
        means = [shape.landmark_mean_mm for shape in level_shapes(self.shape_model)]
        found = self_calibrate(seen.landmarks, means, films, marker=marker, anchors_px=seen.anchors_px)
        known = CameraUncertainty(found.size_sd, found.angle_deg[1], found.scale_from)
        return FoundCameras(found.geometry, known, (*found.doubts, *_doubts_about_sides(radiographs["ap"])))


def _doubts_about_sides(ap: Radiograph) -> tuple[str, ...]:
    """Whether only the way that the AP film hangs tells left from right."""
    if _tagged_way(ap, "ap") is not None:
        return ()
    against = _tags_of_no_ap_film(ap)
    basis = f"its tags are not those of such a film ({against})" if against else "no tag confirms that"
    return (
        f"{ap.path}: left and right are told from how the film lies, the person's left on its right, and {basis}; "
        "a mirrored film exchanges them, which the pictures do not show: look for its L or R marker",
    )


def _tags_of_no_ap_film(ap: Radiograph) -> str:
    """What the tags say against an AP film that lies head up; empty where they say nothing, or that it is one."""
    position = ap.view_position or ""
    said = []
    if ap.orientation is not None:
        said.append("Patient Orientation " + "\\".join(ap.orientation))
    if position and position.upper() not in _REVERSED_BEAM["ap"]:
        said.append(f"View Position {position}")
    return ", ".join(said)


def _tagged_way(radiograph: Radiograph, view: str) -> bool | None:
    """Whether a film lies mirrored by its Patient Orientation; None where that does not tell."""
    return _USUAL_WAY[view].get((radiograph.orientation or ("", ""))[0])


def _beam_reversed(radiograph: Radiograph, view: str, stated: bool | None) -> bool:
    """Whether the source stood behind the person, or on their right: as stated, else by the View Position."""
    if stated is not None:
        return stated
    return _REVERSED_BEAM[view].get((radiograph.view_position or "").upper(), False)


def film_priors(radiographs: Mapping[str, Radiograph], options: FilmOptions) -> dict[str, FilmPrior]:
    """What is known of each film, by view.

    Raises:
        InputError: for a film whose pixel spacing nobody states, or distances between which no person stands.
    """
    given = {
        "ap": (options.ap_detector_mm, options.ap_person_mm),
        "lat": (options.lat_detector_mm, options.lat_person_mm),
    }
    stated = {"ap": options.posteroanterior, "lat": options.lateral_from_right}
    films = {}
    for view in VIEWS:
        film, own = radiographs[view], options.pixel_spacing_mm
        spacing = film.pixel_spacing_mm or (None if own is None else (own, own))
        if spacing is None:
            raise InputError(f"{film.path}: states no pixel spacing, expected --pixel_spacing_mm")
        detector, person = (
            usual if value is None else (value, options.known_to_mm)
            for value, usual in zip(given[view], (_USUAL.source_detector_mm, _USUAL.source_person_mm), strict=True)
        )
        low, high = _MAGNIFICATION
        if not low <= detector[0] / person[0] <= high:
            raise InputError(
                f"{view} view: {detector[0]:g} mm from the source to the detector and {person[0]:g} to the person magnify "
                f"{detector[0] / person[0]:.2f} times, expected {low:g} to {high:g}: state both distances"
            )
        films[view] = FilmPrior(
            film.size_px,
            spacing,
            detector,
            person,
            reversed_beam=_beam_reversed(film, view, stated[view]),
            mirrored=bool(_tagged_way(film, view)),
        )
    return films


def marker_of(marked: MarkedPoints, length_mm: float | None) -> Marker | None:
    """The marker among marked points; None without one.

    Raises:
        InputError: if the length or an end of it is missing.
    """
    ends = {view: [marked[view][name] for name in MARKER_ENDS if name in marked[view]] for view in VIEWS}
    if length_mm is None and not any(ends.values()):
        return None
    if length_mm is None or any(len(own) < len(MARKER_ENDS) for own in ends.values()):
        raise InputError(
            "a marker sets the scale where --marker_mm states its length and --marked_points has marker_start and marker_end "
            "in both views"
        )
    return Marker(length_mm, {view: np.array(own) for view, own in ends.items()})


def grid_of(film: FilmPrior) -> Camera:
    """A stand-in camera (`displayed_camera`) that lies as the film does."""
    camera = displayed_camera(film.size_px, film.pixel_spacing_mm)
    return camera.replace(u_axis=-camera.u_axis) if film.mirrored else camera


def seen_by_network(
    radiographs: Mapping[str, Radiograph],
    films: Mapping[str, FilmPrior],
    network: nn.Module | None,
    locator: nn.Module | None,
) -> SeenFilms:
    """What the network sees on each film by itself.

    Raises:
        InputError: without a locator, or for a film that shows no lumbar spine.
    """
    if network is None or locator is None:
        raise InputError("the network of the first generation finds no cameras; expected that of the second")
    landmarks, anchors_px = {}, {}
    for view, film in films.items():
        pixels = with_bone_bright(radiographs[view]).pixels.astype(np.float32)
        seen, _ = see_located(network.eval(), locator.eval(), pixels, grid_of(film), "ap")
        decoded, to_film_px = seen.decoded, seen.canonical.to_original_px
        if doubt := doubt_of_spine(decoded):
            raise InputError(f"{radiographs[view].path}: {doubt}")
        if view == "lat" and film.reversed_beam:
            # The network takes the source to stand on the person's left.
            decoded = naming_the_persons_sides(decoded)
        landmarks[view] = ViewLandmarks(to_film_px(decoded.landmarks_px), decoded.landmark_confidence)
        anchors = SpineAnchors.nothing() if decoded.anchors is None else decoded.anchors
        anchors_px[view] = to_film_px(anchor_view(anchors, seen.canonical).positions_px)
    return SeenFilms(landmarks, anchors_px)
