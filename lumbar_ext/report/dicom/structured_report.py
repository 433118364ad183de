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
    MeasurementProperties,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    NormalRangeProperties,
    NumContentItem,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    RelationshipTypeValues,
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
from lumbar_ext.io.json_document import read_document
from lumbar_ext.landmarks.study_landmarks import StudyLandmarks, read_landmarks
from lumbar_ext.measurements.document import SCHEMA, read_measurements
from lumbar_ext.measurements.uncertainty.assessment import Measurement as Assessed
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
_ABOVE = Code("371886008", "SCT", "+, range of upper measurement uncertainty")
_BELOW = Code("371885007", "SCT", "-, range of lower measurement uncertainty")
_RELIABILITY = own_code("reliability", "Reliability of the reconstruction")
_HEIGHT = own_code("centre_height", "Distance of the endplate centres")
_PEDICLES = own_code("pedicle_dist", "Distance of the pedicle centres")
_DISTANCES = (
    (_HEIGHT, "superior_endplate", "inferior_endplate"),
    (_PEDICLES, "left_pedicle", "right_pedicle"),
)
_SPANS = ("L1-S1", "L4-S1")
# The centre of the first pixel is (0, 0) here and (0.5, 0.5) in DICOM's spatial coordinates (PS3.3, C.18.6).
_HALF_PIXEL = 0.5


def measurement_report(folder: Path, radiographs: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """A report of the reconstructed vertebrae: volumes, distances of landmarks with their places in both radiographs, and
    the values of `measurements.json` with their intervals, reference ranges and classes.

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
    measured, grades = _measured(folder / MEASUREMENTS), _grades(folder / MEASUREMENTS)
    for place, level in enumerate(LEVELS):
        if level in found:
            own = [_volume(folder / f"{level}.stl"), *_distances(place, landmarks, images)]
            measured[level] = own + measured.get(level, [])
    algorithm = AlgorithmIdentification(MODEL_NAME, bundle_versions(folder) or __version__)
    groups = [_group(name, values, grades.get(name, []), images, algorithm) for name, values in measured.items()]
    series = NewSeries.make(0, "measurements")
    report = MeasurementReport(
        observation_context=_observer(),
        procedure_reported=codes.LN.XRUnspecifiedBodyRegion,
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
    )
    declare_scheme(document)
    series.complete(document)
    _separate(document)
    return {"measurements": document}


def _separate(item: Dataset) -> None:
    """Says of every container that its items stand for themselves; viewers leave the names out of continuous text."""
    if item.get("ValueType") == "CONTAINER":
        item.ContinuityOfContent = "SEPARATE"
    for child in item.get("ContentSequence", ()):
        _separate(child)


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
            unit = _UNITS[definition.unit]
            name, properties = own_code(entry.id, definition.title), _properties(entry, unit)
            value = Measurement(name, entry.value, unit, properties=properties)
            by_subject.setdefault(entry.subject, []).append(value)
    return by_subject


def _properties(entry: Assessed, unit: Code) -> MeasurementProperties | None:
    """How far the ends of the 90 % interval lie above and below a value, and the reference range, whose source says for whom
    it holds (DICOM PS3.16, TID 310 and 312)."""
    properties = MeasurementProperties(normal_range_properties=_normal_range(entry, unit))
    if entry.interval_90 is not None:
        low, high = entry.interval_90
        properties += [_number(_ABOVE, high - entry.value, unit), _number(_BELOW, entry.value - low, unit)]
    return properties if len(properties) else None


def _normal_range(entry: Assessed, unit: Code) -> NormalRangeProperties | None:
    if entry.reference is None:
        return None
    limits = {
        codes.SCT.NormalRangeLowerLimit: entry.reference.low,
        codes.SCT.NormalRangeUpperLimit: entry.reference.high,
    }
    numbers = [_number(name, value, unit) for name, value in limits.items() if value is not None]
    return NormalRangeProperties(numbers, authority=entry.reference.source)


def _number(name: Code, value: float, unit: Code) -> NumContentItem:
    return NumContentItem(name, round(value, 4), unit, relationship_type=RelationshipTypeValues.HAS_PROPERTIES)


def _grades(path: Path) -> dict[str, list[QualitativeEvaluation]]:
    """By what they belong to: how far each vertebra can be relied on, and the classes that the literature gives to values."""
    found: dict[str, list[QualitativeEvaluation]] = {}
    for level, vertebra in read_document(path, SCHEMA)["vertebrae"].items():
        grade = str(vertebra["quality"]["grade"])
        found.setdefault(level, []).append(QualitativeEvaluation(_RELIABILITY, own_code(grade, grade)))
    for entry in read_measurements(path):
        if entry.grade and entry.value is not None:
            name = own_code(f"{entry.id}_class", f"Class of: {BY_ID[entry.id].title}")
            found.setdefault(entry.subject, []).append(QualitativeEvaluation(name, own_code(entry.grade, entry.grade)))
    return found


def _group(
    subject: str,
    values: list[Measurement],
    grades: list[QualitativeEvaluation],
    images: list[Dataset],
    algorithm: AlgorithmIdentification,
) -> MeasurementsAndQualitativeEvaluations:
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=generate_uid(None), identifier=subject),
        algorithm_id=algorithm,
        finding_sites=[FindingSite(site) for site in _sites(subject)],
        measurements=values,
        qualitative_evaluations=grades or None,
        source_images=[SourceImageForMeasurementGroup.from_source_image(image) for image in images],
    )


def _sites(subject: str) -> list[Code]:
    """A vertebra, the two of a motion segment, or the lumbar or lumbosacral spine."""
    if subject == f"{LEVELS[0]}-{LEVELS[-1]}":
        return [codes.SCT.LumbarSpine]
    sites = {**VERTEBRAE, "S1": codes.SCT.Sacrum}
    ends = subject.split("-")
    if ends[0] not in sites or subject in _SPANS:
        return [codes.SCT.LumboSacralSpine]
    return [sites[level] for level in ends]


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
