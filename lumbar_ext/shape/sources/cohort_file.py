"""The cohort file: which shapes a model is built from, and what each is for.

A cohort is a JSON file. Paths in it are relative to a data folder that is given separately, so the file can be shared
without data:

    {"reference": "a_L3",                   shape whose remeshed surface becomes the topology of all levels
     "size_subject": "a",                   subject whose size the level means take (e.g. an average of many people)
     "shapes": [
       {"name": "a_L3", "subject": "a", "level": "L3", "file": "a/L3.stl", "split": "train", "template": true},
       {"name": "b_L4", "subject": "b", "level": "L4", "file": "b_msk.nii.gz", "label": 23, "split": "test"}],
     "training_bases": ["c"],               training subjects that simulated people may be made from as they are, whether
                                            or not they weigh anything in the statistics
     "background": {"sacrum": {...}, "pelvis": {...}, "t12": {...}, "l5": "name of the L5 in the frame of the sacrum"}}

`reference` and `size_subject` may be left out: the build then chooses the reference, and means have the mean size.

Optional keys of a shape: `unit` (mm, cm, m or um; told by the size when left out), `component` (which of several bones
of a mesh, from the top), `label` (in a label map), `landmarks` (a JSON file, see `folder`), `surface` ("smooth" or
"mask": how closely to follow it), `orientation` ("anatomical": X front, Y left, Z up, or "unknown"), `weight` (in the
training statistics; 0 registers the shape but leaves it out), `genant` (fracture grade), `template` (first choice to
start the registrations of its level).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.io.json_document import parse_json

SPLITS = ("train", "validation", "test")
"""What a person is for: of a shape model's cohort, and of simulated people, who descend from those of the same split."""


@dataclass(frozen=True)
class CohortShape:
    """One vertebra of the cohort; the module text explains the fields.

    Raises:
        InputError: if a field has a value that is not allowed.
    """

    name: str
    subject: str
    level: str
    file: str
    split: str
    unit: str = "auto"
    component: int | None = None
    label: int | None = None
    surface: str = "smooth"
    orientation: str = "anatomical"
    weight: float = 1.0
    genant: int = 0
    template: bool = False
    landmarks: str | None = None

    def __post_init__(self) -> None:
        allowed = {
            "level": LEVELS,
            "split": SPLITS,
            "surface": ("smooth", "mask"),
            "orientation": ("anatomical", "unknown"),
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise InputError(
                    f"shape {self.name!r}: {name} is {getattr(self, name)!r}, expected one of {', '.join(values)}"
                )
        if self.weight < 0:
            raise InputError(f"shape {self.name!r}: weight must not be negative, found {self.weight}")

    @property
    def level_index(self) -> int:
        """The level's place in `LEVELS`: 0 for L1 to 4 for L5."""
        return LEVELS.index(self.level)


@dataclass(frozen=True)
class Cohort:
    """A validated cohort.

    Args:
        shapes: all vertebrae.
        reference: name of the shape that gives the topology, None to let the build choose.
        size_subject: subject whose size the means take, None for the mean size.
        background: descriptions of the other bones, may be empty.
        training_bases: training subjects that simulated people may be made from as they are.
    """

    shapes: tuple[CohortShape, ...]
    reference: str | None
    size_subject: str | None
    background: dict = field(default_factory=dict)
    training_bases: tuple[str, ...] = ()

    def shape(self, name: str) -> CohortShape:
        """The shape of that name, which must be there."""
        return next(s for s in self.shapes if s.name == name)


def load_cohort(path: str | Path) -> Cohort:
    """Reads and checks a cohort file.

    Raises:
        InputError: for a missing file, bad JSON, unknown or missing keys, double names, or a reference that is not
        listed.
    """
    document = parse_json(path, "a cohort")
    if not isinstance(document, dict) or not all(isinstance(entry, dict) for entry in document.get("shapes", [])):
        raise InputError(f"{path}: no cohort, expected an object with a list of objects under 'shapes'")
    known = {f.name for f in fields(CohortShape)}
    shapes = []
    for entry in document.get("shapes", []):
        if unknown := set(entry) - known:
            raise InputError(
                f"{path}: shape {entry.get('name')!r} has unknown keys {sorted(unknown)}, expected {sorted(known)}"
            )
        try:
            shapes.append(CohortShape(**entry))
        except TypeError as error:
            raise InputError(f"{path}: shape {entry.get('name')!r}: {error}") from error
    names = [s.name for s in shapes]
    if len(set(names)) != len(names):
        raise InputError(
            f"{path}: shape names must be unique, double: {sorted({n for n in names if names.count(n) > 1})}"
        )
    for key, allowed in (("reference", names), ("size_subject", [s.subject for s in shapes])):
        if document.get(key) is not None and document[key] not in allowed:
            raise InputError(f"{path}: {key} is {document.get(key)!r}, expected one that is among the shapes")
    if not shapes:
        raise InputError(f"{path}: lists no shapes")
    training_bases = tuple(document.get("training_bases", ()))
    trained = {s.subject for s in shapes if s.split == "train"}
    if strangers := sorted(set(training_bases) - trained):
        raise InputError(f"{path}: training_bases names {strangers}, expected subjects of the training split")
    return Cohort(
        tuple(shapes),
        document.get("reference"),
        document.get("size_subject"),
        document.get("background", {}),
        training_bases,
    )
