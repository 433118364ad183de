"""Measurements as a DICOM structured report after template TID 1500 (DICOM PS3.16)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    Comprehensive3DSR,
    CoordinatesForMeasurement,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    GraphicTypeValues,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from lumbar_ext import __version__
from lumbar_ext.anatomy import LANDMARKS, LEVELS, VIEWS
from lumbar_ext.landmarks.study_landmarks import StudyLandmarks, read_landmarks
from lumbar_ext.measurements.document import read_measurements
from lumbar_ext.measurements.values.definitions import BY_ID
from lumbar_ext.mesh.files import read_mesh
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.report.dicom.header import (
    MANUFACTURER,
    MODEL_NAME,
    VERTEBRAE,
    NewSeries,
    declare_scheme,
    own_code,
    reference,
)
from lumbar_ext.report.dicom.ownership import bundle_versions

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


def measurement_report(folder: Path, radiographs: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """A report of the reconstructed vertebrae: volumes, distances of landmarks with their places in both radiographs, and
    the values of `measurements.json`.

    Args:
        folder: a reconstruction's folder.
        radiographs: view to header of the radiograph.

    Returns:
        File name to object: "measurements".

    Raises:
        InputError: if a file of the reconstruction is missing or damaged.
    """
    landmarks = read_landmarks(folder / "landmarks.json")
    found = [level for level in LEVELS if (folder / f"{level}.stl").is_file()]
    images = [reference(radiographs[view]) for view in VIEWS]
    measured = _measured(folder / MEASUREMENTS)
    for place, level in enumerate(LEVELS):
        if level in found:
            own = [_volume(folder / f"{level}.stl"), *_distances(place, landmarks, images)]
            measured[level] = own + measured.get(level, [])
    algorithm = AlgorithmIdentification(MODEL_NAME, bundle_versions(folder) or __version__)
    groups = [_group(subject, values, images, algorithm) for subject, values in measured.items()]
    series = NewSeries.make(0, "measurements")
    report = MeasurementReport(
        observation_context=_observer(),
        procedure_reported=codes.SCT.PlainRadiography,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    document = Comprehensive3DSR(
        evidence=images,
        content=report,
        series_instance_uid=series.uid,
        series_number=series.number,
        sop_instance_uid=generate_uid(None),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=__version__,
        device_serial_number=__version__,
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description=series.description,
    )
    declare_scheme(document)
    return {"measurements": document}


def _observer() -> ObservationContext:
    identity = DeviceObserverIdentifyingAttributes(
        uid=generate_uid(None, entropy_srcs=[MANUFACTURER, __version__]),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=MODEL_NAME,
    )
    return ObservationContext(ObserverContext(codes.DCM.Device, identity))


def _measured(path: Path) -> dict[str, list[Measurement]]:
    """The values of `measurements.json` by what they belong to: "L3", "L3-L4", "L1-L5"; those that cannot be had are left
    out."""
    by_subject: dict[str, list[Measurement]] = {}
    for entry in read_measurements(path):
        if entry.value is not None:
            definition = BY_ID[entry.id]
            value = Measurement(own_code(entry.id, definition.title), entry.value, _UNITS[definition.unit])
            by_subject.setdefault(entry.subject, []).append(value)
    return by_subject


def _group(
    subject: str, values: list[Measurement], images: list[Dataset], algorithm: AlgorithmIdentification
) -> MeasurementsAndQualitativeEvaluations:
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=generate_uid(None), identifier=subject),
        algorithm_id=algorithm,
        finding_sites=[FindingSite(site) for site in _sites(subject)],
        measurements=values,
        source_images=[SourceImageForMeasurementGroup.from_source_image(image) for image in images],
    )


def _sites(subject: str) -> list[Code]:
    """A vertebra, the two of a motion segment, or the lumbar spine."""
    if subject == f"{LEVELS[0]}-{LEVELS[-1]}":
        return [codes.SCT.LumbarSpine]
    return [VERTEBRAE[level] for level in subject.split("-")]


def _volume(stl: Path) -> Measurement:
    volume_mm3 = round(float(Surface(*read_mesh(stl)).volume_mm3), 1)
    return Measurement(codes.SCT.Volume, volume_mm3, codes.UCUM.CubicMillimeter)


def _distances(level: int, landmarks: StudyLandmarks, images: list[Dataset]) -> Iterator[Measurement]:
    """Distances in space; each refers to the line between the two landmarks in both radiographs."""
    for name, *ends in _DISTANCES:
        places = [LANDMARKS.index(end) for end in ends]
        distance_mm = np.linalg.norm(np.subtract(*landmarks.positions_mm[level, places]))
        if not np.isfinite(distance_mm):
            continue
        lines = {view: own[level, places] for view, own in landmarks.positions_px.items()}
        yield Measurement(
            name,
            round(float(distance_mm), 3),
            codes.UCUM.Millimeter,
            referenced_coordinates=[
                CoordinatesForMeasurement(
                    GraphicTypeValues.POLYLINE,
                    lines[view] + _HALF_PIXEL,
                    SourceImageForRegion.from_source_image(image),
                )
                for view, image in zip(VIEWS, images, strict=True)
                if np.isfinite(lines[view]).all()
            ],
        )
