"""Measurements as a DICOM structured report after template TID 1500 (DICOM PS3.16)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    ComprehensiveSR,
    CoordinatesForMeasurement,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    GraphicTypeValues,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    SourceImageForMeasurement,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from lumbar_ext.anatomy import LANDMARKS, LEVELS, VIEWS
from lumbar_ext.deploy.pairing import RadiographPair
from lumbar_ext.deploy.result_header import (
    MANUFACTURER,
    MODEL_NAME,
    VERTEBRAE,
    NewSeries,
    own_code,
    reference,
    software_version,
)
from lumbar_ext.io import StudyLandmarks, read_landmarks, read_mesh
from lumbar_ext.shape.surface import Surface

MEASUREMENTS = "measurements.json"
_UNITS = {
    "mm": codes.UCUM.Millimeter,
    "mm2": codes.UCUM.SquareMillimeter,
    "deg": Code("deg", "UCUM", "degree"),
    "%": Code("%", "UCUM", "percent"),
    "1": Code("1", "UCUM", "no units"),
}
_HEIGHT = own_code("centre_height", "Distance of the endplate centres")
_PEDICLES = own_code("pedicle_dist", "Distance of the pedicle centres")
_DISTANCES = (
    (_HEIGHT, "superior_endplate", "inferior_endplate"),
    (_PEDICLES, "left_pedicle", "right_pedicle"),
)
# The centre of the first pixel is (0, 0) here and (0.5, 0.5) in DICOM's spatial coordinates (PS3.3, C.18.6).
_HALF_PIXEL = 0.5


def measurement_report(folder: Path, pair: RadiographPair) -> dict[str, Dataset]:
    """A report of the reconstructed vertebrae: distances of landmarks, with their places in both radiographs, volumes, and
    the values of the folder's `measurements.json`, if there is one.

    Returns:
        File name to object: "report".
    """
    landmarks = read_landmarks(folder / "landmarks.json")
    found = [level for level in LEVELS if (folder / f"{level}.stl").is_file()]
    images = [reference(pair[view]) for view in VIEWS]
    measured = _measured(folder / MEASUREMENTS)
    groups = [_vertebra(level, landmarks, folder, images, measured.pop(level, [])) for level in found]
    groups += [_other(subject, values, images) for subject, values in measured.items() if subject not in LEVELS]
    series = NewSeries.make(0, "measurements")
    report = MeasurementReport(
        observation_context=_observer(),
        procedure_reported=codes.SCT.PlainRadiography,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    document = ComprehensiveSR(
        evidence=images,
        content=report,
        series_instance_uid=series.uid,
        series_number=series.number,
        sop_instance_uid=generate_uid(None),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description=series.description,
    )
    return {"report": document}


def _observer() -> ObservationContext:
    identity = DeviceObserverIdentifyingAttributes(
        uid=generate_uid(None, entropy_srcs=[MANUFACTURER, software_version()]),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=MODEL_NAME,
    )
    return ObservationContext(ObserverContext(codes.DCM.Device, identity))


def _measured(path: Path) -> dict[str, list[Measurement]]:
    """The values of `measurements.json` by what they belong to: "L3", "L3-L4", "L1-L5"."""
    document = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"measurements": []}
    by_subject: dict[str, list[Measurement]] = {}
    for entry in document["measurements"]:
        if entry["value"] is not None:
            name = own_code(entry["id"], document["definitions"][entry["id"]]["title"])
            value = Measurement(name, float(entry["value"]), _UNITS[entry["unit"]])
            by_subject.setdefault(entry["subject"], []).append(value)
    return by_subject


def _vertebra(
    level: str, landmarks: StudyLandmarks, folder: Path, images: list[Dataset], measured: list[Measurement]
) -> MeasurementsAndQualitativeEvaluations:
    volume_mm3 = round(float(Surface(*read_mesh(folder / f"{level}.stl")).volume_mm3), 1)
    volume = Measurement(codes.SCT.Volume, volume_mm3, codes.UCUM.CubicMillimeter)
    values = [volume, *_distances(LEVELS.index(level), landmarks, images), *measured]
    return _group(level, VERTEBRAE[level], values, images)


def _other(subject: str, values: list[Measurement], images: list[Dataset]) -> MeasurementsAndQualitativeEvaluations:
    """Values of a motion segment or the whole lumbar spine."""
    return _group(subject, codes.SCT.LumbarSpine, values, images)


def _group(
    subject: str, site: Code, values: list[Measurement], images: list[Dataset]
) -> MeasurementsAndQualitativeEvaluations:
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=generate_uid(None), identifier=subject),
        algorithm_id=AlgorithmIdentification(MODEL_NAME, software_version()),
        finding_sites=[FindingSite(site)],
        finding_type=site,
        measurements=values,
        source_images=[SourceImageForMeasurementGroup.from_source_image(image) for image in images],
    )


def _distances(level: int, landmarks: StudyLandmarks, images: list[Dataset]) -> Iterator[Measurement]:
    """Distances in space; each refers to the line between the two landmarks in both radiographs."""
    for name, *ends in _DISTANCES:
        places = [LANDMARKS.index(end) for end in ends]
        distance_mm = np.linalg.norm(np.subtract(*landmarks.position_mm[level, places]))
        if not np.isfinite(distance_mm):
            continue
        lines = {"ap": landmarks.ap_px[level, places], "lat": landmarks.lat_px[level, places]}
        yield Measurement(
            name,
            round(float(distance_mm), 3),
            codes.UCUM.Millimeter,
            referenced_coordinates=[
                CoordinatesForMeasurement(
                    GraphicTypeValues.POLYLINE,
                    lines[view] + _HALF_PIXEL,
                    SourceImageForMeasurement.from_source_image(image),
                )
                for view, image in zip(VIEWS, images, strict=True)
                if np.isfinite(lines[view]).all()
            ],
        )
