"""Which view a DICOM radiograph shows, by whatever its header says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lumbar_ext.io.dicom_header import element_text, sequence_items
from lumbar_ext.radiographs.dicom_folder import DicomRadiograph

_WORDS = {
    "ap": {"ap", "pa", "frontal", "front", "face", "anteroposterior", "posteroanterior", "coronal", "antpost"},
    "lat": {"lat", "ll", "rl", "llat", "rlat", "lateral", "profil", "profile", "seitlich", "sagittal", "side"},
}
_TEXTS = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription", "ImageComments")
_FRONTAL_LETTERS, _LATERAL_LETTERS = "LR", "AP"
_MAX_OFF_AXIS_DEG = 45.0  # half-way between an AP and a lateral beam


@dataclass(frozen=True)
class ViewEvidence:
    """What a header says about the view.

    Args:
        view: "ap", "lat" or None.
        source: the data element that tells it.
        contradictions: data elements that say the other view.
    """

    view: str | None
    source: str
    contradictions: tuple[str, ...] = ()


def tell_view(radiograph: DicomRadiograph) -> ViewEvidence:
    """The view, by the first of these that tells: View Position, view code, positioner angle, patient orientation,
    series description, protocol, further texts, the file's name.

    Oblique views and texts that name both views tell nothing.
    """
    votes = [(source, view) for source, view in _votes(radiograph) if view]
    if not votes:
        return ViewEvidence(None, "nothing")
    source, view = votes[0]
    return ViewEvidence(view, source, tuple(other for other, vote in votes if vote != view))


def view_named(text: str) -> str | None:
    """The view that a text names, None for neither or both."""
    words = set(re.split(r"[^a-z]+", re.sub(r"\b([a-z])\.\s?([a-z])\b\.?", r"\1\2", text.lower())))
    words |= {
        a + b for a, b in re.findall(r"(antero|postero|ant|post)[^a-z](posterior|anterior|post|ant)", text.lower())
    }
    named = [view for view, known in _WORDS.items() if words & known]
    return named[0] if len(named) == 1 else None


def _votes(radiograph: DicomRadiograph) -> Iterator[tuple[str, str | None]]:
    yield "ViewPosition", view_named(radiograph.text("ViewPosition"))
    for code in sequence_items(radiograph.header, "ViewCodeSequence", radiograph.path):
        yield "ViewCodeSequence", view_named(element_text(code, "CodeMeaning", radiograph.path) or "")
    yield "PositionerPrimaryAngle", _by_angle(radiograph.number("PositionerPrimaryAngle"))
    yield "PatientOrientation", _by_orientation(radiograph)
    for keyword in _TEXTS:
        yield keyword, view_named(radiograph.text(keyword))
    yield "file name", view_named(radiograph.path.stem)


def _by_angle(primary_deg: float | None) -> str | None:
    """0 or 180 deg is frontal, 90 deg to either side lateral (DICOM PS3.3, C.8.7.5.1.2)."""
    if primary_deg is None:
        return None
    off_sagittal_deg = abs((primary_deg + 90) % 180 - 90)
    return "ap" if off_sagittal_deg < _MAX_OFF_AXIS_DEG else "lat"


def _by_orientation(radiograph: DicomRadiograph) -> str | None:
    """The row direction of a frontal image runs to a side of the person, of a lateral one to the front or back."""
    letters = [part.strip()[:1] for part in radiograph.text("PatientOrientation").split("\\")]
    if letters[0] in ("H", "F"):
        letters.reverse()
    first = letters[0]
    return "ap" if first and first in _FRONTAL_LETTERS else "lat" if first and first in _LATERAL_LETTERS else None
