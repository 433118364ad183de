"""The app: which tasks MONAI Label serves, on which folder, with which bundles."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.tasks.activelearning.random import Random

import lumbar_ext
from lumbar_ext.bundle_paths import bundles_dir
from lumbar_ext.errors import InputError
from lumbar_ext.label.active_learning import Uncertainty
from lumbar_ext.label.datastore import GuardedDatastore
from lumbar_ext.label.reconstruction_task import ReconstructionTask
from lumbar_ext.label.seen_radiograph import MULTITASK, NetworkBundle
from lumbar_ext.label.training_task import TrainingTask
from lumbar_ext.label.view_tasks import DecompositionTask, LandmarkTask
from lumbar_ext.label.web.waiting import queue_length


class LumbarLabelApp(MONAILabelApp):
    """Serves `landmarks`, `decomposition` and `reconstruction`, the strategies `uncertainty` and `random`, and training.

    Args:
        app_dir: this package's folder.
        studies: the studies folder.
        conf: `bundles` names the folder of the bundles; by default that of the environment variable
            LUMBAR_EXT_BUNDLES, else the package's own, see `bundle_paths`.

    Raises:
        InputError: if the bundles are not there, or the studies are no local folder.
    """

    def __init__(self, app_dir: str, studies: str, conf: Mapping[str, str]) -> None:
        named = (conf or {}).get("bundles") or bundles_dir()
        self.bundles = Path(named).resolve()
        if not (self.bundles / MULTITASK / "configs" / "inference.json").is_file():
            raise InputError(f"{self.bundles}: no bundle {MULTITASK} in it, expected the folder of the bundles")
        super().__init__(
            app_dir,
            studies,
            dict(conf or {}),
            name="Lumbar spine from radiographs",
            description="Landmarks, decompositions and reconstructions of L1 to L5. Research only.",
            version=lumbar_ext.__version__,
        )

    def init_datastore(self) -> GuardedDatastore:
        """The studies folder; archives behind DICOMweb are not supported."""
        if self.studies.startswith(("http://", "https://")):
            raise InputError(f"{self.studies}: expected a local folder of studies, not an archive")
        datastore = GuardedDatastore(self.studies, auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD)
        self.network = NetworkBundle(self.bundles, datastore.work_folder)
        return datastore

    def init_infers(self) -> dict[str, InferTask]:
        """The tasks that a client can ask to run on an image, by name."""
        return {
            "landmarks": LandmarkTask(self.network),
            "decomposition": DecompositionTask(self.network),
            "reconstruction": ReconstructionTask(self.network, self.bundles, self.datastore()),
        }

    def init_trainers(self) -> dict[str, TrainTask]:
        """The training task, named as what it improves."""
        return {"landmarks": TrainingTask(self.network, self.datastore().work_folder)}

    def init_strategies(self) -> dict[str, Strategy]:
        """The ways to choose the next image to label, by name."""
        return {"uncertainty": Uncertainty(self.network), "random": Random()}

    def info(self) -> dict[str, Any]:
        """What MONAI Label tells of an app, and `queue`, how many requests that compute are not answered yet."""
        return {**super().info(), "queue": queue_length()}

    def infer(self, request: Mapping[str, Any], datastore: GuardedDatastore | None = None) -> dict[str, Any]:
        """Runs a task on an image of the studies folder, and on nothing else.

        Raises:
            InputError: for an unknown task or image, or whatever the task cannot use.
        """
        datastore = datastore or self.datastore()
        model, image_id = request.get("model"), request.get("image")
        task = self._infers.get(model) if isinstance(model, str) else None
        if task is None:
            raise InputError(f"model {str(model)[:120]!r}: expected one of {sorted(self._infers)}")
        path = datastore.image_path(image_id)
        file, document = task({**request, "image": str(path), "image_id": image_id})
        label = None
        if request.get("save_label"):
            label = datastore.save_label(
                image_id, file, request.get("label_tag") or DefaultLabelTag.ORIGINAL, {"model": model}
            )
        logging.getLogger(__name__).info("%s of %s: done in %s s", model, image_id, document["seconds"])
        return {"label": label or file, "tag": DefaultLabelTag.ORIGINAL, "file": file, "params": document}
