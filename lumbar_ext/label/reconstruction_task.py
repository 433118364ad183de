"""The inference task on a pair: the reconstruction bundle on two radiographs and their calibration."""

from __future__ import annotations

import json
import tempfile
import threading
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.label.datastore import GuardedDatastore
from lumbar_ext.label.names import calibration_of, dicom_radiograph, view_of
from lumbar_ext.label.request_parameters import number, one_of
from lumbar_ext.label.seen_radiograph import RECONSTRUCTION, NetworkBundle
from lumbar_ext.label.view_tasks import temporary_answer
from lumbar_ext.radiographs.dicom_pairing import require_one
from lumbar_ext.registration import CONFIGS
from lumbar_ext.workflow.bundle_workflow import bundle_workflow, run_on

_MAX_CALIBRATION_CHARACTERS = 100_000  # fifty times a calibration file


class ReconstructionTask(InferTask):
    """Meshes of L1 to L5 from the two views of a case, as a ZIP file of everything the bundle writes.

    Args:
        network: the network bundle, whose weights are used.
        bundles: folder of the bundles.
        datastore: where the partner image is sought.
    """

    def __init__(self, network: NetworkBundle, bundles: Path, datastore: GuardedDatastore) -> None:
        text = "Meshes of L1 to L5 from both views of a case, as a ZIP file"
        config = {"partner": "", "max_seconds": "60", "optimiser": list(CONFIGS)}
        super().__init__(InferType.OTHERS, list(LEVELS), 3, text, config=config)
        self.network = network
        self.root = bundles / RECONSTRUCTION
        self.datastore = datastore
        self._lock = threading.Lock()

    def is_valid(self) -> bool:
        """Whether the bundle's config is where it was looked for; the server offers the task only then."""
        return (self.root / "configs" / "inference.json").is_file()

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The ZIP file and a summary.

        Args:
            request: `image` (path) and `image_id` of either view; `partner`, the other view's id where the names do not
                tell it; `calibration`, the content of a calibration file where none lies beside the images;
                `max_seconds`; `optimiser`, a name of `registration.CONFIGS`.

        Raises:
            InputError: if something is missing or cannot be used.
        """
        start = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="lumbar_ext-") as folder:
            inputs = {**self._pair(request), "calibration": str(self._calibration(request, Path(folder)))}
            output = Path(folder) / "out"
            options = {
                "max_seconds": number("max_seconds", request.get("max_seconds") or 60, 1, 3600),
                "optimiser": one_of("optimiser", _chosen(request.get("optimiser")), CONFIGS),
            }
            self._run(inputs, output, options)
            registration = json.loads((output / "registration.json").read_text())
            result = _packed(output)
        weights = self.network.weights()
        return str(result), {
            "levels": list(registration["vertebrae"]),
            "missing_levels": registration["missing_levels"],
            "loss": registration["loss"],
            "weights": {"sha256": weights.sha256, "trained_here": weights.trained_here},
            "seconds": round(time.perf_counter() - start, 2),
        }

    def _pair(self, request: Mapping[str, Any]) -> dict[str, str]:
        """Paths of both views by the bundle's names."""
        image_id, path = request["image_id"], Path(request["image"])
        partner_id = request.get("partner") or self.datastore.partner(image_id)
        partner = self.datastore.image_path(partner_id)
        views = {view_of(image_id, path): path, view_of(partner_id, partner): partner}
        if len(views) != 2:
            raise InputError(
                f"{image_id} and {partner_id}: both show the {next(iter(views))} view, expected AP and lateral"
            )
        headers = [header for header in map(dicom_radiograph, views.values()) if header]
        require_one(headers, "PatientID", "patients")
        return {f"{view}_image": str(found) for view, found in views.items()}

    def _calibration(self, request: Mapping[str, Any], folder: Path) -> Path:
        """The calibration file: from the request, else beside the image."""
        given = request.get("calibration")
        if given:
            text = given if isinstance(given, str) else json.dumps(given)
            if len(text) > _MAX_CALIBRATION_CHARACTERS:
                raise InputError(f"calibration: {len(text)} characters, expected the content of a calibration file")
            path = folder / "calibration.json"
            path.write_text(text, encoding="utf-8")
            return path
        beside = calibration_of(request["image_id"], self.datastore.folder)
        if beside is None:
            raise InputError(
                f"{request['image_id']}: no calibration; expected CASE_calibration.json beside the images, or the "
                "parameter calibration with such a file's content"
            )
        return beside

    def _run(self, inputs: dict[str, str], output: Path, options: dict[str, Any]) -> None:
        """Runs the bundle with the network that this server shows landmarks of and trains."""
        with self._lock:
            workflow = bundle_workflow(
                self.root,
                multitask_root=str(self.network.root),
                multitask_weights=str(self.network.weights().path),
                output_dir=str(output),
                **options,
            )
            run_on(workflow, {**inputs, "output_dir": str(output)})


def _chosen(value: Any) -> Any:
    """The choice of a request: the first name where there is none, or where a client sends the list of them back."""
    return value if value and not isinstance(value, list) else next(iter(CONFIGS))


def _packed(folder: Path) -> Path:
    """All files of a folder as a temporary ZIP file."""
    with temporary_answer(".zip") as result, zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return result
