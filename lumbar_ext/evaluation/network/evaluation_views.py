"""Views of one or more named sets of studies, read one by one, with what an evaluation must know of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.data import Dataset

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.studies.findings import study_findings
from lumbar_ext.training.view_records import list_studies, read_view

Studies = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class ViewPlace:
    """Where a view of an evaluation lies.

    Args:
        set_name: which set it belongs to.
        study: folder of its study.
        view: "ap" or "lat".
        foreign: whether its image passes through `ForeignChaind`.
    """

    set_name: str
    study: Path
    view: str
    foreign: bool


class EvaluationViews(Dataset):
    """All views of the studies of some folders, each read when it is asked for.

    The sample dictionaries are those of `ViewRecord.as_sample` with `set_name`, `study`, `findings` (text, "; "
    between several) and `foreign`.

    Args:
        sets: name of a set to its folder of studies, or to a list of study folders.
        foreign_sets: likewise; their images pass through `ForeignChaind`.
        transform: applied to the sample.
        downsample: see `read_view`.
        limit: largest number of studies of each set.

    Raises:
        InputError: when there is no set, a name stands in both, or a folder holds no studies.
    """

    def __init__(
        self,
        sets: Mapping[str, Studies],
        foreign_sets: Mapping[str, Studies] | None = None,
        transform: Callable | None = None,
        downsample: int = 1,
        limit: int | None = None,
    ) -> None:
        self.downsample = downsample
        super().__init__(view_places(sets, foreign_sets or {}, limit), transform)

    def _transform(self, index: int) -> Any:
        place: ViewPlace = self.data[index]
        sample = read_view(place.study, place.view, self.downsample).as_sample()
        sample |= {"set_name": place.set_name, "study": place.study.name, "foreign": place.foreign}
        sample["findings"] = "; ".join(study_findings(place.study))
        return self.transform(sample) if self.transform is not None else sample


def view_places(
    sets: Mapping[str, Studies], foreign_sets: Mapping[str, Studies], limit: int | None = None
) -> list[ViewPlace]:
    """Both views of all studies of some sets, in order; arguments and errors as those of `EvaluationViews`."""
    if twice := sorted(set(sets) & set(foreign_sets)):
        raise InputError(f"foreign_sets: the names {twice} stand in sets as well, expected other names")
    folders = [(name, folder, False) for name, folder in sets.items()]
    folders += [(name, folder, True) for name, folder in foreign_sets.items()]
    if not folders:
        raise InputError("sets: expected at least one name with its folder of studies, found none")
    return [
        ViewPlace(name, study, view, foreign)
        for name, folder, foreign in folders
        for study in _studies(folder, limit)
        for view in VIEWS
    ]


def _studies(studies: Studies, limit: int | None) -> list[Path]:
    if isinstance(studies, str | Path):
        return list_studies(studies, limit)
    return [Path(study) for study in studies][:limit]


def read_sets(sets: Mapping[str, Studies] | str | Path) -> dict[str, Studies]:
    """Named sets from a mapping, a JSON file with one, or a single folder, which is named after itself.

    Raises:
        InputError: when the file is not a JSON object of names and folders.
    """
    if isinstance(sets, Mapping):
        return dict(sets)
    path = Path(sets)
    if path.is_dir():
        return {path.name: path}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): Path(folder) for name, folder in document.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{path}: expected a folder of studies, or a JSON object of names and folders") from error
