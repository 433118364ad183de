"""The handler that turns an evaluator's run into tables and files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from lumbar_ext.evaluation.network.evaluated_view import EvaluatedView, write_landmarks_csv, write_views_csv
from lumbar_ext.evaluation.network.network_tables import paper_tables
from lumbar_ext.io.atomic import write_text
from lumbar_ext.metrics.view_metric import ViewScorer


class NetworkReport:
    """Gathers every view of a run; at its end prints the tables and writes them.

    Writes `tables.md`, `views.csv` (one row a view) and `landmarks.csv` (one row a landmark). Batches need the
    entries `set_name`, `study`, `view` and `findings` (text, "; " between several) beside the label.

    Args:
        scorer: the scorer that the evaluator's metrics share.
        output_dir: folder of the files, made if absent.
        title: first line of `tables.md`.
        paper_rows: rows of the paper that stand beside ours.
    """

    def __init__(
        self, scorer: ViewScorer, output_dir: str | Path, title: str = "", paper_rows: Sequence[str] = ("full",)
    ) -> None:
        self.scorer = scorer
        self.output_dir = Path(output_dir)
        self.title = title
        self.paper_rows = tuple(paper_rows)
        self.views: list[EvaluatedView] = []

    def attach(self, engine: Engine) -> None:
        """Follows an Ignite evaluator: starts empty with each epoch, gathers every batch, writes the files at the end."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.views.clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._gather)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def _gather(self, engine: Engine) -> None:
        batch: Mapping[str, Any] = engine.state.batch
        measured = self.scorer(engine.state.output["pred"], engine.state.output["label"])
        for index, one in enumerate(measured):
            origin = {name: str(batch[name][index]) for name in ("set_name", "study", "view")}
            findings = tuple(part for part in str(batch["findings"][index]).split("; ") if part)
            self.views.append(EvaluatedView(**origin, findings=findings, measured=one))

    def _finish(self, _engine: Engine) -> None:
        write_tables(self.output_dir, self.views, self.title, self.paper_rows)


def write_tables(
    folder: Path, views: Sequence[EvaluatedView], title: str, paper_rows: Sequence[str] = ("full",)
) -> None:
    """Writes `tables.md`, `views.csv` and `landmarks.csv`, and prints the tables.

    Args:
        folder: made if absent.
        views: what was measured.
        title: first line of the tables.
        paper_rows: rows of the paper that stand beside ours.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_views_csv(folder / "views.csv", views)
    write_landmarks_csv(folder / "landmarks.csv", views)
    text = "\n\n".join(part for part in (title, paper_tables(views, paper_rows)) if part)
    write_text(folder / "tables.md", text + "\n")
    print(text, flush=True)
