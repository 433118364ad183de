"""The AP and the lateral radiograph of one study."""

from __future__ import annotations

from dataclasses import dataclass

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.radiographs.dicom_folder import DicomRadiograph
from lumbar_ext.radiographs.dicom_view import ViewEvidence, tell_view


@dataclass(frozen=True)
class RadiographPair:
    """Two radiographs of one study.

    Args:
        ap: the anteroposterior one.
        lat: the lateral one.
        remarks: doubts that do not stop the work, each a sentence for the user.
    """

    ap: DicomRadiograph
    lat: DicomRadiograph
    remarks: tuple[str, ...] = ()

    def __getitem__(self, view: str) -> DicomRadiograph:
        return {"ap": self.ap, "lat": self.lat}[view]


def pair_radiographs(radiographs: list[DicomRadiograph]) -> RadiographPair:
    """Finds the two views among the radiographs of a folder.

    A raw image ("FOR PROCESSING") is left out where its processed copy of the same view is there. Where one of two
    images tells its view and the other nothing, the other is taken for the other view, with a remark.

    Raises:
        InputError: for two patients, two studies, or anything but one AP and one lateral radiograph; the message lists
            what was found.
    """
    require_one(radiographs, "PatientID", "patients")
    require_one(radiographs, "StudyInstanceUID", "studies")
    evidence = _without_raw_copies({radiograph.path: (radiograph, tell_view(radiograph)) for radiograph in radiographs})
    by_view = {view: [found for found, said in evidence if said.view == view] for view in VIEWS}
    remarks = [_contradiction(found, said) for found, said in evidence if said.contradictions]
    unknown = [found for found, said in evidence if said.view is None]
    missing = [view for view in VIEWS if not by_view[view]]
    if len(evidence) == 2 and len(unknown) == len(missing) == 1:
        by_view[missing[0]] = unknown
        remarks.append(f"{unknown[0].path}: tells no view; taken for the {missing[0]} view, as the other image is not")
    if len(evidence) != 2 or any(len(by_view[view]) != 1 for view in VIEWS):
        raise InputError(f"expected one AP and one lateral radiograph, found {_listing(evidence)}")
    return RadiographPair(by_view["ap"][0], by_view["lat"][0], tuple(remarks))


def require_one(radiographs: list[DicomRadiograph], keyword: str, what: str) -> None:
    """Refuses radiographs that differ in an identifier.

    Args:
        radiographs: any number.
        keyword: of the data element; one that is absent counts as empty.
        what: its plural, for the message.

    Raises:
        InputError: if it has more than one value; the message names files, never the values.
    """
    first: dict[str, DicomRadiograph] = {}
    for radiograph in radiographs:
        first.setdefault(radiograph.text(keyword), radiograph)
    if len(first) > 1:
        # The identifiers stay out of the message: it may be logged or shared.
        examples = ", ".join(str(radiograph.path) for radiograph in first.values())
        raise InputError(f"radiographs of {len(first)} {what} ({examples}), expected two of one")


def _without_raw_copies(
    evidence: dict[object, tuple[DicomRadiograph, ViewEvidence]],
) -> list[tuple[DicomRadiograph, ViewEvidence]]:
    shown = {said.view for found, said in evidence.values() if not _is_raw(found)}
    return [(found, said) for found, said in evidence.values() if not (_is_raw(found) and said.view in shown)]


def _is_raw(radiograph: DicomRadiograph) -> bool:
    return radiograph.text("PresentationIntentType") == "FOR PROCESSING"


def _contradiction(radiograph: DicomRadiograph, said: ViewEvidence) -> str:
    others = ", ".join(said.contradictions)
    return f"{radiograph.path}: {said.view} by {said.source}, but not by {others}; the former is followed"


def _listing(evidence: list[tuple[DicomRadiograph, ViewEvidence]]) -> str:
    found = [f"{radiograph.path} ({said.view or 'view unknown'}, by {said.source})" for radiograph, said in evidence]
    hint = ""
    if any(said.view is None for _, said in evidence):
        hint = "; a view is told by ViewPosition, PatientOrientation, SeriesDescription or a file name such as ap.dcm"
    return f"{len(found)}: {', '.join(found)}{hint}"
