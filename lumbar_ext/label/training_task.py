"""Training of the network bundle from corrected landmarks, by the bundle's own train config."""

from __future__ import annotations

import json
import logging
import math
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.tasks.train import TrainTask

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import write_text
from lumbar_ext.label.datastore import GuardedDatastore
from lumbar_ext.label.labelled_views import LabelledView, LabelledViews, labelled_view
from lumbar_ext.label.request_parameters import TrainingParameters, ViewParameters
from lumbar_ext.label.seen_radiograph import TRAINED_WEIGHTS, NetworkBundle
from lumbar_ext.label.view_tasks import settled_parameters
from lumbar_ext.workflow.bundle_workflow import bundle_workflow
from lumbar_ext.workflow.error_reporting import bare_input_errors

SUMMARY = "training.json"
_HELD_OUT_FROM = 5  # labelled images, from which on every fifth is for validation


class TrainingTask(TrainTask):
    """Fine-tunes the network on the views with a final label and puts the new weights in use.

    Every fifth view validates, from five views on; fewer views validate themselves. Training starts from the weights in
    use, and the best weights by the bundle's validation score are kept.

    Args:
        network: the network bundle.
        work_folder: for weights and summary.
    """

    def __init__(self, network: NetworkBundle, work_folder: Path) -> None:
        super().__init__("Fine-tunes the network from corrected landmarks")
        self.network = network
        self.work_folder = work_folder

    def config(self) -> dict[str, Any]:
        """What Slicer's option table shows."""
        defaults = TrainingParameters()
        return {name: getattr(defaults, name) for name in ("max_epochs", "learning_rate", "batch_size")}

    def stats(self) -> dict[str, Any]:
        """The summary of the last training."""
        path = self.work_folder / SUMMARY
        return json.loads(path.read_text()) if path.is_file() else {}

    def __call__(self, request: Mapping[str, Any], datastore: GuardedDatastore) -> dict[str, Any]:
        """Trains and returns the summary.

        Raises:
            InputError: if there is no labelled view, or a parameter is wrong.
        """
        start = time.perf_counter()
        parameters = TrainingParameters.of(request)
        records = self._records(datastore, ViewParameters.of(request))
        held_out = records[::_HELD_OUT_FROM] if len(records) >= _HELD_OUT_FROM else records
        training = [record for record in records if record not in held_out] if held_out is not records else records
        before = self.network.weights()
        with tempfile.TemporaryDirectory(prefix=".training-", dir=self.work_folder) as folder:
            self._train(Path(folder), training, held_out, parameters)
            trained = Path(folder) / TRAINED_WEIGHTS
            if not trained.is_file():
                raise InputError("training left no weights; see the log of the training task")
            os.replace(trained, self.network.trained)
        summary = {
            "views": len(records),
            "held_out": len(held_out) if held_out is not records else 0,
            "epochs": parameters.max_epochs,
            "weights_before": before.sha256,
            "weights": self.network.weights().sha256,
            "seconds": round(time.perf_counter() - start, 1),
        }
        write_text(self.work_folder / SUMMARY, json.dumps(summary))
        logging.getLogger(__name__).info("trained: %s", summary)
        return summary

    def _records(self, datastore: GuardedDatastore, given: ViewParameters) -> list[LabelledView]:
        tag = DefaultLabelTag.FINAL.value
        records = []
        for image_id in sorted(datastore.get_labeled_images()):
            path, markups = datastore.image_path(image_id), datastore.label_path(image_id, tag)
            parameters = settled_parameters(image_id, path, given)
            record = labelled_view(path, markups, parameters, self.network)
            if not record.present.any():
                raise InputError(f"label of {image_id!r}: no vertebra has both endplates, expected at least one")
            records.append(record)
        if not records:
            raise InputError("no radiograph has a label of the tag 'final'; save corrected landmarks first")
        return records

    def _train(
        self,
        folder: Path,
        training: list[LabelledView],
        validation: list[LabelledView],
        parameters: TrainingParameters,
    ) -> None:
        batch_size = min(parameters.batch_size, len(training))
        epoch = math.ceil(len(training) / batch_size)
        iterations = epoch * parameters.max_epochs
        workflow = bundle_workflow(
            self.network.root,
            ["train"],
            "train",
            output_dir=str(folder),
            model_filename=TRAINED_WEIGHTS,
            train_dirs=[LabelledViews(training)],
            validation_dirs=[LabelledViews(validation)],
            init_weights=str(self.network.weights().path),
            resume="",
            iterations=iterations,
            validate_every=epoch,
            warmup_iterations=0,
            # the rate falls in the second half, so that the last weights, which are kept if they are best, have settled
            decay_iterations=math.ceil(iterations / 2),
            learning_rate=parameters.learning_rate,
            batch_size=batch_size,
            bfloat16=torch.cuda.is_available(),
            tensorboard=False,
            mlflow=False,
        )
        with bare_input_errors():
            workflow.run()
            workflow.finalize()
