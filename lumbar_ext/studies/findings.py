"""What is special about the person of a study, and who it is: from the truth's `meta.json`."""

from __future__ import annotations

from pathlib import Path

from lumbar_ext.studies.study_folder import StudyFolder

# the simulator's kinds of pathology that go by another name in a table of findings, or share one
_NAMES = {
    "sacralised": "four vertebrae (sacralised)",
    "lumbarised": "six vertebrae (lumbarised)",
    "fusion": "fused",
    "wedge": "fractured",
    "biconcave": "fractured",
    "crush": "fractured",
    "scoliosis": "scoliotic",
}


def study_findings(study: Path) -> tuple[str, ...]:
    """The finding of the entry `pathology` (its `kind`), or none without that file or entry."""
    pathology = StudyFolder(study).truth.read_meta().get("pathology")
    return (_NAMES.get(pathology["kind"], pathology["kind"]),) if pathology else ()


def study_subject(study: Path) -> str:
    """Whose study it is: `subject_id`, or split and `person_seed`, or the real person or CT, else the study's name."""
    meta = StudyFolder(study).truth.read_meta()
    if "subject_id" in meta:
        return str(meta["subject_id"])
    if "study_from_file" in meta or meta.get("variation") == "none":
        return str(meta["base"])
    if "person_seed" in meta:
        return f"{meta['split']}-{meta['person_seed']}"
    return study.name
