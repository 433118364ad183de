"""Measurements and meshes as DICOM objects beside the radiographs they came from.

    python -m lumbar_ext.report.dicom_files --reconstruction_dir out --ap_image ap.dcm --lat_image lat.dcm --dicom_dir out/dicom

Writes `measurements.dcm`, a Comprehensive 3D SR after template TID 1500, and `L1.dcm` to `L5.dcm`, Encapsulated STL. Both
belong to the study of the radiographs, so these must be DICOM files. Needs the extra `[dicom]` (highdicom).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import lumbar_ext
from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import staged_output
from lumbar_ext.measurements.assessment import Measurement
from lumbar_ext.measurements.definitions import BY_ID
from lumbar_ext.measurements.document import read_measurements

SCHEME = "99LUMBAREXT"
"""Private coding scheme of the definition ids of `docs/measurements.md`."""

_ENCAPSULATED_STL = "1.2.840.10008.5.1.4.1.1.104.3"
_UCUM = {"mm": "millimeter", "mm2": "square millimeter", "deg": "degree", "%": "percent", "1": "no units"}
_SNOMED = {"L1": "66794005", "L2": "14293000", "L3": "36470004", "L4": "11994002", "L5": "49668003"}
_LUMBAR_SPINE = "122496007"
_MANUFACTURER = "lumbar_ext"
_SERIES_NUMBER = 9001


def write_dicom(reconstruction_dir: str, ap_image: str, lat_image: str, dicom_dir: str) -> None:
    """Writes the DICOM objects of a reconstruction.

    Args:
        reconstruction_dir: the output folder of a reconstruction.
        ap_image, lat_image: the radiographs it was made from.
        dicom_dir: folder to fill.

    Raises:
        InputError: if the folder holds no reconstruction, or a radiograph is no DICOM file.
    """
    folder = Path(reconstruction_dir)
    measurements = read_measurements(folder / "measurements.json")
    images = [_read_image(path) for path in (ap_image, lat_image)]
    if images[0].StudyInstanceUID != images[1].StudyInstanceUID:
        raise InputError(f"{ap_image} and {lat_image}: of different DICOM studies, expected one")
    with staged_output(dicom_dir) as staging:
        structured_report(images, measurements).save_as(staging / "measurements.dcm")
        for number, level in enumerate(LEVELS, start=1):
            stl = folder / f"{level}.stl"
            if stl.is_file():
                encapsulated_stl(images[0], stl.read_bytes(), level, number).save_as(
                    staging / f"{level}.dcm", enforce_file_format=True
                )


def structured_report(images: list, measurements: tuple[Measurement, ...]):
    """A Comprehensive 3D SR (TID 1500) with one measurement group a vertebra, segment and spine.

    Args:
        images: the radiographs as `pydicom` datasets, of one study.
        measurements: all values; those that cannot be had are left out.
    """
    import highdicom as hd
    from highdicom import sr
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    device = sr.DeviceObserverIdentifyingAttributes(
        uid=generate_uid(), name=_MANUFACTURER, manufacturer_name=_MANUFACTURER, model_name=lumbar_ext.__version__
    )
    context = sr.ObservationContext(
        observer_device_context=sr.ObserverContext(codes.DCM.Device, observer_identifying_attributes=device)
    )
    report = sr.MeasurementReport(
        observation_context=context,
        procedure_reported=sr.CodedConcept("168594001", "SCT", "Plain X-ray of lumbar spine"),
        imaging_measurements=_groups(measurements),
        title=codes.DCM.ImagingMeasurementReport,
    )
    return hd.sr.Comprehensive3DSR(
        evidence=images,
        content=report[0],
        series_instance_uid=generate_uid(),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer=_MANUFACTURER,
        manufacturer_model_name=_MANUFACTURER,
        software_versions=lumbar_ext.__version__,
        device_serial_number="1",
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description="lumbar_ext measurements, research only",
    )


def encapsulated_stl(image, content: bytes, level: str, number: int):
    """An Encapsulated STL object of one vertebra.

    Args:
        image: a radiograph of the study, as a `pydicom` dataset.
        content: the STL file.
        level: its name.
        number: of the instance.
    """
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = _ENCAPSULATED_STL
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    own = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    for name in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"):
        setattr(own, name, getattr(image, name, ""))
    own.AccessionNumber, own.ReferringPhysicianName = getattr(image, "AccessionNumber", ""), ""
    own.StudyInstanceUID, own.SeriesInstanceUID = image.StudyInstanceUID, generate_uid()
    own.FrameOfReferenceUID, own.PositionReferenceIndicator = generate_uid(), ""
    own.SOPClassUID, own.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    own.Modality, own.SeriesNumber, own.InstanceNumber = "M3D", _SERIES_NUMBER + 1, number
    own.SeriesDescription = "lumbar_ext meshes, research only"
    own.Manufacturer = own.ManufacturerModelName = _MANUFACTURER
    own.DeviceSerialNumber, own.SoftwareVersions = "1", lumbar_ext.__version__
    now = datetime.now(UTC)
    own.ContentDate = own.AcquisitionDate = now.strftime("%Y%m%d")
    own.ContentTime = now.strftime("%H%M%S")
    own.AcquisitionDateTime = now.strftime("%Y%m%d%H%M%S")
    own.BurnedInAnnotation, own.DocumentTitle = "NO", f"{level} vertebra"
    own.ConceptNameCodeSequence = [_code(Dataset, "85040-4", "LN", "CAD 3D Model")]
    own.MeasurementUnitsCodeSequence = [_code(Dataset, "mm", "UCUM", "mm")]
    own.MIMETypeOfEncapsulatedDocument = "model/stl"
    own.EncapsulatedDocumentLength = len(content)
    own.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    return own


def _groups(measurements: tuple[Measurement, ...]) -> list:
    """Measurement groups by subject, in the order of their first value."""
    from highdicom import sr
    from pydicom.uid import generate_uid

    by_subject: dict[str, list[Measurement]] = {}
    for measurement in measurements:
        if measurement.value is not None:
            by_subject.setdefault(measurement.subject, []).append(measurement)
    return [
        sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(uid=generate_uid(), identifier=subject),
            finding_sites=[sr.FindingSite(anatomic_location=site) for site in _sites(subject)],
            measurements=[_measurement(own) for own in values],
        )
        for subject, values in by_subject.items()
    ]


def _measurement(own: Measurement):
    from highdicom import sr

    unit = BY_ID[own.id].unit
    return sr.Measurement(
        name=sr.CodedConcept(own.id, SCHEME, BY_ID[own.id].title),
        value=own.value,
        unit=sr.CodedConcept(unit, "UCUM", _UCUM[unit]),
    )


def _sites(subject: str) -> list:
    from highdicom import sr

    levels = subject.split("-")
    if subject == f"{LEVELS[0]}-{LEVELS[-1]}":
        return [sr.CodedConcept(_LUMBAR_SPINE, "SCT", "Lumbar spine")]
    return [sr.CodedConcept(_SNOMED[level], "SCT", f"{level} vertebra") for level in levels]


def _read_image(path: str):
    import pydicom

    try:
        return pydicom.dcmread(path)
    except (OSError, pydicom.errors.InvalidDicomError) as error:
        raise InputError(
            f"{path}: cannot be read as DICOM ({error}); results join the study of a DICOM radiograph"
        ) from error


def _code(dataset_class, value: str, scheme: str, meaning: str):
    item = dataset_class()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


if __name__ == "__main__":
    import fire

    fire.Fire(write_dicom)
