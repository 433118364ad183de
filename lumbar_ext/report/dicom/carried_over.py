"""Values of a radiograph's header as they go into new objects: valid for their value representation, in UTF-8.

Headers come as RIS and PACS left them: dates with dashes, identifiers that are too long, character sets that others cannot
read. New objects must be valid (DICOM PS3.5, 6.2), or archives refuse them.
"""

from __future__ import annotations

import re
import warnings
from datetime import datetime

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset

from lumbar_ext.errors import InputError
from lumbar_ext.io.dicom_header import element_name, element_text

UTF_8 = "ISO_IR 192"
_LONGEST = {"SH": 16, "LO": 64}  # characters, PS3.5 6.2
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?")
_UID = re.compile(r"(?=.{1,64}$)(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
_SEXES = ("M", "F", "O")


def carried_over(header: Dataset, keyword: str) -> str:
    """A value of a radiograph's header that is valid in a new object; empty where it cannot be made so.

    Dates and times lose their separators, names are cut to 64 characters a component. Identifiers are not cut: what is left
    would be another's.

    Raises:
        InputError: if the value cannot be read, or is a UID that is none.

    Warns:
        UserWarning: naming the element, if its value is left out.
    """
    path = getattr(header, "filename", None) or "the radiograph"
    text = element_text(header, keyword, path) or ""
    vr = dictionary_VR(keyword)
    if vr == "UI":
        if not _UID.fullmatch(text):
            raise InputError(f"{path}: {element_name(keyword)} is missing or no UID, expected numbers between dots")
        return text
    value = _valid(text, vr)
    if text and not value:
        warnings.warn(f"{path}: {element_name(keyword)} is no valid {vr} value and is left empty", stacklevel=2)
    return value


def orientation(header: Dataset) -> list[str] | str:
    """Patient Orientation, empty where it is not two directions."""
    parts = (element_text(header, "PatientOrientation", "the radiograph") or "").split("\\")
    known = len(parts) == 2 and all(re.fullmatch("[APLRHF]{1,3}", part) for part in parts)
    return parts if known else ""


def _valid(text: str, vr: str) -> str:
    """The text, made valid for its value representation, or nothing."""
    if vr == "DA":
        return _date(text)
    if vr == "TM":
        time = text.replace(":", "").strip()
        return time if _TIME.fullmatch(time) else ""
    if vr == "PN":
        return _name(text)
    if vr == "CS":
        return text.upper()[:1] if text.upper()[:1] in _SEXES else ""
    plain = "".join(letter for letter in text if letter.isprintable())
    return plain if "\\" not in plain and len(plain) <= _LONGEST[vr] else ""


def _date(text: str) -> str:
    digits = re.sub(r"[-./ ]", "", text)
    try:
        # A year of two digits would be read as one of four.
        return digits if len(digits) == 8 and datetime.strptime(digits, "%Y%m%d") else ""
    except ValueError:
        return ""


def _name(text: str) -> str:
    """At most three groups (alphabetic, ideographic, phonetic) of five components."""
    plain = "".join(letter for letter in text.replace("\\", " ") if letter.isprintable())
    groups = ["^".join(group.split("^")[:5])[:64] for group in plain.split("=")[:3]]
    return "=".join(groups)
