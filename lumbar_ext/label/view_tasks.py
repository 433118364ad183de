"""Inference tasks on one radiograph: landmarks as Slicer markups, and the decomposition as an image beside it."""

from __future__ import annotations

import tempfile
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.io import read_calibration
from lumbar_ext.label.image_markups import write_markups
from lumbar_ext.label.image_space import ImageSpace
from lumbar_ext.label.names import calibration_of, view_of
from lumbar_ext.label.request_parameters import ViewParameters
from lumbar_ext.label.seen_radiograph import NetworkBundle, SeenRadiograph
from lumbar_ext.landmarks.markups import NAMES, SUFFIX
from lumbar_ext.radiographs.formats import read_radiograph


def settled_parameters(image_id: str, path: Path, given: ViewParameters) -> ViewParameters:
    """The parameters of a radiograph with view and spacing known: as given, else by name, header and calibration.

    Raises:
        InputError: if the view or the pixel spacing is told nowhere.
    """
    view = given.view or view_of(image_id, path)
    if given.pixel_spacing_mm is not None:
        return replace(given, view=view)
    if read_radiograph(path).pixel_spacing_mm is not None:
        return replace(given, view=view)
    calibration = calibration_of(image_id, path.parent)
    if calibration is None:
        raise InputError(
            f"{image_id}: the file states no pixel spacing; expected the parameter pixel_spacing_mm, or the case's "
            "calibration beside it (CASE_calibration.json)"
        )
    return replace(given, view=view, pixel_spacing_mm=read_calibration(calibration)[view].pixel_spacing_mm[0])


class ViewTask(InferTask):
    """What the network sees in one radiograph, as a file and as JSON.

    Args:
        network: the network bundle.
    """

    labels: tuple[str, ...]
    text: str
    suffix: str

    def __init__(self, network: NetworkBundle) -> None:
        super().__init__(InferType.OTHERS, list(self.labels), 2, self.text, config=_config())
        self.network = network

    def is_valid(self) -> bool:
        """True: weights come from the bundle or from training here, and are looked up when they are used."""
        return True

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The file, and what was found as JSON; `request` holds `image` (path) and `image_id`."""
        start = time.perf_counter()
        path = Path(request["image"])
        parameters = settled_parameters(request["image_id"], path, ViewParameters.of(request))
        seen = self.network.see(path, parameters.view, parameters)
        with temporary_answer(self.suffix) as result:
            self.write(result, seen, path, parameters)
        return str(result), _document(seen, parameters, self.network, time.perf_counter() - start)

    @abstractmethod
    def write(self, result: Path, seen: SeenRadiograph, image: Path, parameters: ViewParameters) -> None:
        """Writes the file of the answer."""


class LandmarkTask(ViewTask):
    """Seven landmarks of each vertebra in one radiograph, as a Slicer markups file."""

    labels = NAMES
    text = "Landmarks of L1 to L5 in one radiograph, as Slicer markups"
    suffix = SUFFIX

    def write(self, result: Path, seen: SeenRadiograph, image: Path, parameters: ViewParameters) -> None:
        """Writes the landmarks as a point list of 3D Slicer."""
        write_markups(result, seen.landmarks_px, seen.confidence, ImageSpace.of_file(image))


class DecompositionTask(ViewTask):
    """The image of L1 to L5 alone, on the pixels of the radiograph."""

    labels = ("decomposition",)
    text = "The image of L1 to L5 alone (a digitally reconstructed radiograph), as NIfTI"
    suffix = ".nii.gz"

    def write(self, result: Path, seen: SeenRadiograph, image: Path, parameters: ViewParameters) -> None:
        """Writes the decomposition as NIfTI on the radiograph's grid."""
        _write_beside(result, _on_film(seen, image, parameters), ImageSpace.of_file(image))


def _config() -> dict[str, Any]:
    """What Slicer's option table shows."""
    return {"view": "", "pixel_spacing_mm": "", "polarity": "unknown"}


@contextmanager
def temporary_answer(suffix: str) -> Iterator[Path]:
    """A new file for an answer, which the server removes once it is sent; removed here if writing it fails."""
    with tempfile.NamedTemporaryFile(prefix="lumbar_ext-", suffix=suffix, delete=False) as file:
        path = Path(file.name)
    try:
        yield path
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _document(
    seen: SeenRadiograph, parameters: ViewParameters, network: NetworkBundle, seconds: float
) -> dict[str, Any]:
    """The JSON part of an answer."""
    weights = network.weights()
    places = np.ndindex(len(LEVELS), len(LANDMARKS))
    landmarks = {
        NAMES[index]: {
            "pixel": [round(float(value), 2) for value in seen.landmarks_px[place]],
            "confidence": round(float(seen.confidence[place]), 4),
        }
        for index, place in enumerate(places)
        if np.isfinite(seen.landmarks_px[place]).all()
    }
    return {
        "view": parameters.view,
        "pixel_spacing_mm": parameters.pixel_spacing_mm,
        "levels": [level for level in LEVELS if any(name.startswith(level) for name in landmarks)],
        "landmarks": landmarks,
        "weights": {"sha256": weights.sha256, "trained_here": weights.trained_here},
        "seconds": round(seconds, 2),
    }


def _on_film(seen: SeenRadiograph, path: Path, parameters: ViewParameters) -> np.ndarray:
    radiograph = read_radiograph(path)
    spacing_mm = radiograph.pixel_spacing_mm or (parameters.pixel_spacing_mm, parameters.pixel_spacing_mm)
    return seen.on_film(radiograph.size_px, spacing_mm)


def _write_beside(path: Path, pixels: np.ndarray, space: ImageSpace) -> None:
    """Writes pixels [v, u] where a viewer has the radiograph."""
    import itk

    image = itk.image_from_array(pixels[None].astype(np.float32))
    spacing = np.linalg.norm(space.steps_mm, axis=0)
    u_axis, v_axis = (space.steps_mm / spacing).T
    image.SetOrigin(space.origin_mm.tolist())
    image.SetSpacing([*spacing.tolist(), 1.0])
    image.SetDirection(itk.matrix_from_array(np.stack([u_axis, v_axis, np.cross(u_axis, v_axis)], axis=1)))
    itk.imwrite(image, str(path))
