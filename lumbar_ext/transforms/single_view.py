"""One radiograph through the network without a calibration: file to network grid, and output back to the file's pixels.

Without a calibration the orientation cannot be told, so the radiograph must be shown as the network expects it: head up; AP
with the person's left on the right of the image, lateral facing left. Dictionary keys, all of them collatable: `image` (path,
then tensor), `view` ("ap" or "lat"), `source` (path), `original_size_px` (columns, rows), `pixel_spacing_mm` (u, v), and
`original_from_network` (float64 [2, 2]: scale and offset of (u, v)), which comes with the grid, or with the answer where the
network looks at a crop (`workflow.locate_and_look.LocateAndLook`).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Transform
from torch import Tensor

from lumbar_ext.anatomy import LEVELS, SPINE_LEVELS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry.camera import Camera
from lumbar_ext.geometry.cone_beam import ConeBeam
from lumbar_ext.io.atomic import refuse_unwritable
from lumbar_ext.landmarks.study_landmarks import StudyLandmarks, write_landmarks
from lumbar_ext.radiographs.formats import read_radiograph
from lumbar_ext.radiographs.nifti import write_nifti_image
from lumbar_ext.radiographs.radiograph import Polarity, with_bone_bright
from lumbar_ext.transforms.canonical import NETWORK_SPACING_MM, CanonicalView, to_network_grid
from lumbar_ext.transforms.confidence import ConfidenceCalibration
from lumbar_ext.transforms.decode import CONFIDENCE_THRESHOLD, DecodedView, decode_packed
from lumbar_ext.transforms.spine_decode import doubt_of_spine

_DECOMPOSITION, _LANDMARKS = "_decomposition.nii.gz", "_landmarks.json"
"""How the names of results end."""
_SUFFIX = re.compile(r"\.(png|dcm|dicom|ima|nii|nii\.gz)$", re.IGNORECASE)


def output_names(paths: Sequence[str | Path]) -> list[str]:
    """A name for the outputs of each file: its own without the suffix, with it where several files would share it.

    Only suffixes of image formats go: files of a PACS are named by UIDs, whose dots part no suffix.
    """
    names = [Path(path).name for path in paths]
    stems = [_SUFFIX.sub("", name) or name for name in names]
    return [name if stems.count(stem) > 1 else stem for name, stem in zip(names, stems, strict=True)]


def view_items(image: str, dataset_dir: str, view: str) -> list[dict[str, str]]:
    """What the network bundle reads: one radiograph, or all of a folder; files that are none are named and left out.

    Args:
        image: path of a radiograph; empty for all files of a folder.
        dataset_dir: the folder.
        view: "ap" or "lat".

    Returns:
        An item for each radiograph; none for a folder that is missing or holds none, see `refuse_nothing`.

    Warns:
        UserWarning: for each file that is left out.
    """
    paths = [image] if image else radiographs_in(dataset_dir)
    return [{"image": path, "view": view, "name": name} for path, name in zip(paths, output_names(paths), strict=True)]


def radiographs_in(folder: str | Path) -> list[str]:
    """The radiographs in a folder, sorted; see `view_items`. What an earlier run wrote there of others is none."""
    found, stems = [], [path.name.removesuffix(_LANDMARKS) for path in Path(folder).glob(f"*{_LANDMARKS}")]
    for path in sorted(path for path in Path(folder).glob("*") if path.is_file()):
        if path.name in {f"{stem}{_DECOMPOSITION}" for stem in stems}:
            warnings.warn(f"left out: {path}: a decomposition, with its landmarks beside it", stacklevel=2)
            continue
        try:
            with warnings.catch_warnings():
                # They come again when the file is used.
                warnings.simplefilter("ignore")
                read_radiograph(path)
            found.append(str(path))
        except InputError as error:
            warnings.warn(f"left out: {error}", stacklevel=2)
    return found


def refuse_nothing(items: Sequence[Mapping], dataset_dir: str) -> None:
    """Raises InputError where there is nothing to do.

    Args:
        items: of `view_items`, or those that a program has put in their place.
        dataset_dir: the folder that they were sought in.
    """
    if not items:
        reason = "holds no radiograph" if Path(dataset_dir).is_dir() else "no such folder"
        raise InputError(f"{dataset_dir}: {reason}; expected DICOM, PNG or NIfTI radiographs in it, or one by --image")


class LoadFilmd(Transform):
    """Reads a whole radiograph, bone bright as far as is known; `image` becomes float32 [1, rows, columns].

    Args:
        pixel_spacing_mm: detector spacing of files that do not state it (PNG); None takes the network's 0.834 mm, and says so.
        polarity: "bone_bright" or "bone_dark" overrides tags and looks.
        image_key: key of the path.

    Raises:
        InputError: for an unknown view or a file that cannot be used.
    """

    def __init__(
        self, pixel_spacing_mm: float | None = None, polarity: Polarity = "unknown", image_key: str = "image"
    ) -> None:
        self.pixel_spacing_mm = pixel_spacing_mm
        self.polarity = polarity
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replaces the path by the image and adds its size and its spacing (u, v)."""
        path, view = data[self.image_key], data.get("view", VIEWS[0])
        if view not in VIEWS:
            raise InputError(f"view: expected one of {VIEWS}, found {view!r}")
        radiograph = with_bone_bright(read_radiograph(path), self.polarity)
        fallback = self.pixel_spacing_mm or NETWORK_SPACING_MM
        if radiograph.pixel_spacing_mm is None and self.pixel_spacing_mm is None:
            warnings.warn(
                f"{path}: states no pixel spacing, {NETWORK_SPACING_MM:g} mm are taken; expected --pixel_spacing_mm",
                stacklevel=2,
            )
        spacing_mm = radiograph.pixel_spacing_mm or (fallback, fallback)
        return {
            **data,
            self.image_key: torch.from_numpy(radiograph.pixels.astype(np.float32))[None],
            "view": view,
            "source": str(path),
            "pixel_spacing_mm": torch.tensor(spacing_mm, dtype=torch.float64),
            "original_size_px": torch.tensor(radiograph.size_px),
        }


class LoadViewd(LoadFilmd):
    """Reads a radiograph and brings its middle 427 mm to the grid of the first generation's network, float32 [1, 512, 512].

    Arguments and errors as those of `LoadFilmd`.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replaces the path by the image and adds the way back to the file's pixels."""
        film = super().__call__(data)
        pixels = film[self.image_key][0].numpy()
        camera = displayed_camera(pixels.shape[::-1], tuple(film["pixel_spacing_mm"].tolist()))
        seen = to_network_grid(pixels, camera, VIEWS[0])
        return {
            **film,
            self.image_key: torch.from_numpy(seen.pixels)[None],
            "original_from_network": original_from_network(seen),
        }


def original_from_network(seen: CanonicalView) -> Tensor:
    """Scale and offset, float64 [2, 2], that bring pixels (u, v) of a grid or a crop to those of its file."""
    return torch.from_numpy(np.array([seen.laid_from_canonical.scale, seen.laid_from_canonical.offset]))


def displayed_camera(size_px: tuple[int, int], pixel_spacing_mm: tuple[float, float]) -> Camera:
    """A stand-in AP camera whose image is in canonical orientation already; only its grid is used."""
    return ConeBeam([1000, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, -1], pixel_spacing_mm, size_px)


class DecodeViewd(Transform):
    """Turns the packed output into `decoded`, landmarks in the original file's pixels.

    Adds `decomposition` (float32 [1, rows, columns] of the grid or crop), `landmarks_px` [5, 7, 2] (original pixels),
    `landmark_confidence` [5, 7], `vertebra_confidence` [5], `present` [5], `order_consistent` and `level_scores` (by level,
    those of `vertebra_confidence`, and of T12, L6 and S1 where the network names them).

    Args:
        threshold: smallest heatmap value of a vertebra that is present. Above 0, nothing is taken from a picture that is none
            of a lumbar spine (`doubt_of_spine`); 0 takes whatever is there, with the warning alone.
        calibration: makes probabilities of the network's scores; None leaves the scores.
        pred_key: key of the packed tensor.
        decode: reads a packed tensor; `decode_packed` those of the first generation, `decode_spine` the others.
    """

    def __init__(
        self,
        threshold: float = CONFIDENCE_THRESHOLD,
        calibration: ConfidenceCalibration | None = None,
        pred_key: str = "pred",
        decode: Callable[[Tensor, float], DecodedView] = decode_packed,
    ) -> None:
        self.decode = decode
        self.threshold = threshold
        self.calibration = calibration
        self.pred_key = pred_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Adds what the network found."""
        seen = self.decode(data[self.pred_key], self.threshold)
        if doubt := doubt_of_spine(seen):
            warnings.warn(f"{data.get('source', 'image')}: {doubt}", stacklevel=2)
            seen = seen.with_nothing_found() if self.threshold > 0 else seen
        if self.calibration is not None:
            seen = self.calibration.apply(seen, data["view"])
        if not np.asarray(seen.present).any():
            warnings.warn(
                f"{data.get('source', 'image')}: no lumbar vertebra was found (score {self.threshold:g})", stacklevel=2
            )
        scale, offset = np.asarray(data["original_from_network"])
        return {
            **data,
            "decomposition": torch.from_numpy(seen.decomposition)[None],
            "landmarks_px": seen.landmarks_px * scale + offset,
            "landmark_confidence": seen.landmark_confidence,
            "vertebra_confidence": seen.confidence,
            "present": seen.present,
            "order_consistent": seen.order_consistent,
            "level_scores": _level_scores(seen),
        }


def _level_scores(seen: DecodedView) -> dict[str, float]:
    scores = {} if seen.anchors is None else dict(seen.anchors.confidence)
    scores |= dict(zip(LEVELS, np.asarray(seen.confidence).tolist(), strict=True))
    return {level: scores[level] for level in SPINE_LEVELS if level in scores}


class SaveViewd(Transform):
    """Writes `<name>_decomposition.nii.gz` (network grid, placed on the film in the film's mm) and `<name>_landmarks.json`
    (the original file's pixels, and `level_scores`).

    The name is the item's `name`, else the file's without its suffix.

    Args:
        output_dir: folder, made if absent.

    Raises:
        InputError: if it cannot be made or written to.
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.output_dir = Path(output_dir)
        refuse_unwritable(output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Writes both files; returns the dictionary as it was."""
        self.output_dir.mkdir(parents=True, exist_ok=True)
        stem = data.get("name") or output_names([data["source"]])[0]
        spacing_mm = (NETWORK_SPACING_MM, NETWORK_SPACING_MM)
        decomposition = np.asarray(data["decomposition"])[0]
        scale, offset = np.asarray(data["original_from_network"])
        origin_mm = tuple(offset * NETWORK_SPACING_MM / scale)
        write_nifti_image(self.output_dir / f"{stem}{_DECOMPOSITION}", decomposition, spacing_mm, origin_mm)
        write_landmarks(self.output_dir / f"{stem}{_LANDMARKS}", _one_view(data))
        return dict(data)


def _one_view(data: Mapping[Hashable, Any]) -> StudyLandmarks:
    """The landmarks file's content with everything of the other view, and of space, unknown."""
    landmarks = replace(StudyLandmarks.unknown(), level_scores={data["view"]: data["level_scores"]})
    landmarks.positions_px[data["view"]][:] = np.asarray(data["landmarks_px"])
    landmarks.confidence[data["view"]][:] = np.asarray(data["landmark_confidence"])
    return landmarks
