"""Evaluations of a reconstruction as the bundle's configs name them: stages for each study, and a report of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from monai.inferers import Inferer
from monai.networks import eval_mode
from monai.transforms import Transform
from torch import nn

from lumbar_ext.engine.completed import Report, report_completed


@dataclass(frozen=True, eq=False)
class StudyStages:
    """What MONAI's evaluator does with a study, without its engine: it travels to other processes.

    Args:
        preprocessing: from the paths of a study to what `prepare_batch` takes.
        prepare_batch: what the inferer is given; the signature is that of MONAI's `prepare_batch`.
        inferer: the registrations.
        network: the shape model.
        postprocessing: measures.
    """

    preprocessing: Transform
    prepare_batch: Callable[..., tuple]
    inferer: Inferer
    network: nn.Module
    postprocessing: Transform

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """All that is known of the study in the end; what the inferer found is `pred`."""
        study = self.preprocessing(item)
        inputs, _, *further = self.prepare_batch(study)
        args, kwargs = further or ((), {})
        with eval_mode(self.network):
            found = self.inferer(inputs, self.network, *args, **kwargs)
        return self.postprocessing({**study, "pred": found})


class StudyReport(Report, Protocol):
    """A report that reads some of what is known of a study in the end.

    Attributes:
        reads: the entries that it needs, where there are any; the others stay in their process.
    """

    reads: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class StudyTask:
    """The task of the processes that evaluate studies: of the paths of each, what the report reads.

    Args:
        stages: of each study.
        reads: entries that are kept.
    """

    stages: StudyStages
    reads: tuple[str, ...]

    def prepare(self) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
        """Nothing is left to load: the stages hold their networks."""
        return self._evaluated

    def _evaluated(self, item: Mapping[str, Any]) -> dict[str, Any]:
        known = self.stages(item)
        return {name: known[name] for name in self.reads if name in known}


def evaluate_studies(
    stages: StudyStages, items: Sequence[Mapping[str, Any]], report: StudyReport, workers: int
) -> None:
    """Takes all studies through the stages and makes the report.

    Args:
        stages: of each study.
        items: as `evaluation.truth.study_items` lists them.
        report: of all studies, added in their order.
        workers: processes; more than one need the extra [cohort].

    Raises:
        InputError: of the first study that is refused; nothing is reported.
        RuntimeError: after the report, naming the studies that are missing from it because their processes crashed.
    """
    names = [Path(item["output_dir"]).name for item in items]
    report_completed(StudyTask(stages, report.reads), items, names, report, workers)
