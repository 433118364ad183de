"""Copies of radiographs that hold nothing of the person, and what is made of them neither."""

import io
import logging
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.radiographs.dicom_deidentified import deidentify
from lumbar_ext.radiographs.formats import read_radiograph

SECRETS = {
    "PatientName": "Moriarty^Zoraida",
    "PatientID": "ZQ771199",
    "PatientBirthDate": "19580317",
    "OtherPatientNames": "Adler^Irene",
    "InstitutionName": "St Bartholomew",
    "ReferringPhysicianName": "Watson^John",
    "OperatorsName": "Lestrade^G",
    "AccessionNumber": "ACC90210X",
    "StudyID": "STU4711",
    "StudyDate": "20230911",
    "AcquisitionDateTime": "20230911081502",
    "SeriesDescription": "spine of Moriarty",
    "ProtocolName": "Baskerville",
    "ImageComments": "seen by Mycroft",
    "PatientComments": "Reichenbach",
    "DeviceSerialNumber": "SN221B",
    "StationName": "HOLMES1",
}
PRIVATE, OTHER_STUDY = "kept in a private place", generate_uid()
WORDS = [
    "moriarty",
    "zoraida",
    "zq771199",
    "19580317",
    "adler",
    "bartholomew",
    "watson",
    "lestrade",
    "acc90210x",
    "stu4711",
]
WORDS += ["20230911", "baskerville", "mycroft", "reichenbach", "sn221b", "holmes1", PRIVATE, OTHER_STUDY]


def _write(write_dicom, path, pixels, spacing_mm, **tags):
    stored = {**SECRETS, "StudyInstanceUID": OTHER_STUDY, "SeriesInstanceUID": generate_uid(), **tags}
    du, dv = spacing_mm
    write_dicom(path, pixels, ImagerPixelSpacing=[dv, du], **stored)
    data = pydicom.dcmread(path)
    data.private_block(0x0099, "SECRETS", create=True).add_new(1, "LO", PRIVATE)
    data.save_as(path)
    return str(path)


def _found(content):
    text = content.lower()
    return [w for w in WORDS if w.encode() in text or w.encode("utf-16-le") in text]


def test_nothing_of_the_person_is_in_any_file_or_log(true_study, reconstruct, write_dicom, tmp_path, caplog):
    """Planted names, ids, dates and private texts are searched for in all bytes, in those of compressed files too."""
    pytest.importorskip("highdicom")
    from lumbar_ext.report.dicom.export import write_dicom as export

    source = tmp_path / "Moriarty Zoraida"
    source.mkdir()
    named = [
        _write(write_dicom, source / f"ZQ771199_{v}.dcm", true_study.pixels[v], true_study.geometry[v].pixel_spacing_mm)
        for v in VIEWS
    ]
    assert all(len(_found(open(path, "rb").read())) > 12 for path in named), "the search itself must find them"
    clean, out, printed = tmp_path / "clean", tmp_path / "out", io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed), caplog.at_level(logging.DEBUG):
        deidentify(*named, str(clean), pseudonym="P-017")
        paths = {f"{view}_image": str(clean / f"{view}.dcm") for view in VIEWS}
        reconstruct(true_study, out, write_pdf=True, **paths)
        export(str(out), *paths.values(), str(tmp_path / "dicom"))
    assert "P-017" in (out / "report.html").read_text() and "P-017" in (out / "measurements.csv").read_text()
    assert str(pydicom.dcmread(tmp_path / "dicom" / "measurements.dcm").PatientID) == "P-017"
    files = [path for folder in (clean, out, tmp_path / "dicom") for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 25
    for path in files:
        assert not _found(_unpacked(path)), path
    assert not _found((printed.getvalue() + caplog.text).encode())


def _unpacked(path):
    """All bytes of a file, those of its compressed parts among them."""
    import gzip
    import re
    import zlib

    content = path.read_bytes()
    if path.suffix == ".gz":
        content += gzip.decompress(content)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            content += b"".join(archive.read(name) for name in archive.namelist())
    if content[:5] == b"%PDF-":
        for start in re.finditer(rb"stream\r?\n", content):
            try:
                content += zlib.decompressobj().decompress(content[start.end() :])
            except zlib.error:
                continue
    return content


def test_the_picture_and_how_it_was_taken_stay(write_dicom, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 4096, (40, 50)).astype(np.uint16)
    lut = Dataset()
    lut.LUTDescriptor, lut.LUTData, lut.LUTExplanation = (
        [4096, 0, 16],
        np.arange(0, 65536, 16, dtype="<u2").tobytes(),
        "for Moriarty",
    )
    tags = {"RescaleSlope": 2, "RescaleIntercept": -3, "ViewPosition": "AP", "PatientOrientation": ["L", "F"]}
    tags |= {"DistanceSourceToDetector": 1800, "PhotometricInterpretation": "MONOCHROME1", "VOILUTSequence": [lut]}
    paths = [
        _write(write_dicom, tmp_path / f"{view}.dcm", pixels + i, (0.2, 0.3), bits_stored=12, **{**tags, **own})
        for i, (view, own) in enumerate([("ap", {}), ("lat", {"ViewPosition": "LL", "PatientOrientation": ["P", "F"]})])
    ]
    deidentify(*paths, str(tmp_path / "out"))
    studies = set()
    for view, path in zip(VIEWS, paths, strict=True):
        before, after = read_radiograph(path), read_radiograph(tmp_path / "out" / f"{view}.dcm")
        np.testing.assert_array_equal(after.pixels, before.pixels)
        for name in ("pixel_spacing_mm", "polarity", "view_position", "orientation", "bit_depth"):
            assert getattr(after, name) == getattr(before, name), name
        content = (tmp_path / "out" / f"{view}.dcm").read_bytes()
        assert not _found(content)
        studies.add(pydicom.dcmread(io.BytesIO(content)).StudyInstanceUID)
    assert len(studies) == 1 and OTHER_STUDY not in studies


@pytest.mark.parametrize(
    ("tags", "message"),
    [({"BurnedInAnnotation": "YES"}, "lat.dcm.*burned into its pixels"), ({}, "pseudonym is '', expected 1 to 64")],
)
def test_what_cannot_be_cleaned_is_refused(write_dicom, tmp_path, tags, message):
    pixels = np.arange(2000, dtype=np.uint16).reshape(40, 50)
    ap = _write(write_dicom, tmp_path / "ap.dcm", pixels, (0.2, 0.2))
    lat = _write(write_dicom, tmp_path / "lat.dcm", pixels + 1, (0.2, 0.2), **tags)
    with pytest.raises(InputError, match=message):
        deidentify(ap, lat, str(tmp_path / "out"), pseudonym="P" if tags else "")
    assert not (tmp_path / "out").exists()


def test_originals_are_not_written_over(write_dicom, tmp_path):
    pixels = np.arange(2000, dtype=np.uint16).reshape(40, 50)
    films = [_write(write_dicom, tmp_path / f"{view}.dcm", pixels + i, (0.2, 0.2)) for i, view in enumerate(VIEWS)]
    before = [Path(film).read_bytes() for film in films]
    with pytest.raises(InputError, match=r"ap\.dcm: is read here"):
        deidentify(*films, str(tmp_path))
    assert [Path(film).read_bytes() for film in films] == before


def test_an_overlay_among_the_bits_of_the_pixels_is_refused(write_dicom, tmp_path):
    pixels = np.arange(2000, dtype=np.uint16).reshape(40, 50)
    paths = [_write(write_dicom, tmp_path / f"{i}.dcm", pixels + i, (0.2, 0.2), bits_stored=12) for i in range(2)]
    data = pydicom.dcmread(paths[0])
    for element, kind, value in ((0x0100, "US", 16), (0x0102, "US", 15), (0x0010, "US", 40), (0x0011, "US", 50)):
        data.add_new((0x6000, element), kind, value)
    data.save_as(paths[0])
    with pytest.raises(InputError, match="keeps an overlay among the bits"):
        deidentify(*paths, str(tmp_path / "out"))
