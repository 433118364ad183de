"""Meshes as DICOM Encapsulated STL objects, one a vertebra (DICOM PS3.3, A.85.1)."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import EncapsulatedSTLStorage, generate_uid

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.geometry.axes import lps_from_world
from lumbar_ext.mesh.files import LPS_AXES, read_mesh, write_stl
from lumbar_ext.report.dicom.header import (
    RESEARCH_ONLY,
    NewSeries,
    code_item,
    declare_scheme,
    encapsulated,
    own_code,
    source_item,
)


def encapsulated_meshes(folder: Path, radiographs: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """The meshes of a reconstruction's folder, in DICOM's patient axes and one frame of reference of their own.

    Args:
        folder: a reconstruction's folder.
        radiographs: view to header of the radiograph.

    Returns:
        File name to object: "L1" .. "L5", of the levels that were found.
    """
    series, frame_uid = NewSeries.make(1, "meshes"), generate_uid(None)
    found = [level for level in LEVELS if (folder / f"{level}.stl").is_file()]
    return {level: _encapsulated(folder / f"{level}.stl", level, radiographs, series, frame_uid) for level in found}


def _encapsulated(
    stl: Path, level: str, radiographs: Mapping[str, Dataset], series: NewSeries, frame_uid: str
) -> Dataset:
    data = encapsulated(radiographs["ap"], series, EncapsulatedSTLStorage, "M3D", _in_patient_axes(stl))
    data.InstanceNumber = LEVELS.index(level) + 1
    data.FrameOfReferenceUID, data.PositionReferenceIndicator = frame_uid, ""
    data.DocumentTitle = f"Vertebra {level} from two radiographs"
    data.ContentDescription = f"{level}, patient axes, mm. {RESEARCH_ONLY}"[:64]
    data.ConceptNameCodeSequence = [code_item(own_code("model", "Radiographic 3D model"))]
    declare_scheme(data)
    data.MIMETypeOfEncapsulatedDocument = "model/stl"
    data.BurnedInAnnotation = "NO"
    data.MeasurementUnitsCodeSequence = [code_item(codes.UCUM.Millimeter)]
    data.ModelModification, data.ModelMirroring = "NO", "NO"
    data.SourceInstanceSequence = [source_item(radiographs[view]) for view in VIEWS]
    data.ReferencedSeriesSequence = _series(radiographs)
    return data


def _in_patient_axes(stl: Path) -> bytes:
    vertices_mm, triangles = read_mesh(stl)
    with tempfile.TemporaryDirectory(prefix="lumbar_ext-") as folder:
        turned = Path(folder) / "patient.stl"
        write_stl(turned, lps_from_world(vertices_mm), triangles, LPS_AXES)
        return turned.read_bytes()


def _series(radiographs: Mapping[str, Dataset]) -> list[Dataset]:
    """The radiographs by series, for the Common Instance Reference module."""
    by_uid: dict[str, Dataset] = {}
    for view in VIEWS:
        header = radiographs[view]
        item = by_uid.setdefault(header.SeriesInstanceUID, Dataset())
        item.SeriesInstanceUID = header.SeriesInstanceUID
        item.ReferencedInstanceSequence = [*item.get("ReferencedInstanceSequence", ()), source_item(header)]
    return list(by_uid.values())
