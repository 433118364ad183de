"""The errors of the network, measured on validation studies, and the truth spoilt by errors of the same size.

    lumbar-ext network-errors --dataset_dir COHORT --bundle_root bundles/lumbar_multitask

prints the statistics of a cohort as JSON. `network_error.json` beside this file holds those of validation studies; that is
what `ObserveSpoilt` draws from, so that an evaluation can tell what the registration makes of errors of this size from
what a network makes of a picture.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Transform
from scipy.ndimage import gaussian_filter

from lumbar_ext.anatomy import LANDMARKS, VIEWS
from lumbar_ext.evaluation.truth import ObserveTruth, study_items
from lumbar_ext.studies.biplanar_study import read_study
from lumbar_ext.transforms.decode import DecodedView

MEASURED = Path(__file__).with_name("network_error.json")
_BONE_VALUE = 0.02  # of a decomposition, above which a pixel shows bone: half a millimetre of it
_CONTEXT_PX = 4.0  # distance at which the correlation of neighbouring errors is measured


@dataclass(frozen=True)
class ViewError:
    """The size of the network's errors in one view.

    Args:
        gain_mean, gain_sd: of the factor between predicted and true decomposition, over studies.
        pixel_sd: standard deviation of the rest, pixel value, over the bones.
        correlation_px: how far that rest is alike: standard deviation of the Gaussian that white noise is smoothed with
            to have the same correlation at a distance of 4 px.
        landmark_sd_px: [7] root mean square error of each landmark along an axis; the largest tenth is left out.
    """

    gain_mean: float
    gain_sd: float
    pixel_sd: float
    correlation_px: float
    landmark_sd_px: tuple[float, ...]


def view_error(true: list[DecodedView], seen: list[DecodedView]) -> ViewError:
    """The errors of what was seen of the same view in several studies."""
    gains, rests, alike, offsets = [], [], [], []
    for truth, view in zip(true, seen, strict=True):
        bone = truth.decomposition > _BONE_VALUE
        gain = float((view.decomposition[bone] @ truth.decomposition[bone]) / (truth.decomposition[bone] ** 2).sum())
        rest = np.where(bone, view.decomposition - gain * truth.decomposition, 0.0)
        gains.append(gain)
        rests.append(float(np.mean(rest[bone] ** 2)))
        step = int(_CONTEXT_PX)
        pairs = bone[:, step:] & bone[:, :-step]
        alike.append(float(np.mean(rest[:, step:][pairs] * rest[:, :-step][pairs])) / rests[-1])
        offsets.append(view.landmarks_px - truth.landmarks_px)
    # Smoothed white noise has the correlation exp(-d^2 / (4 s^2)) at distance d.
    correlation = float(np.clip(np.mean(alike), 0.05, 0.95))
    return ViewError(
        gain_mean=float(np.mean(gains)),
        gain_sd=float(np.std(gains)),
        pixel_sd=float(np.sqrt(np.mean(rests))),
        correlation_px=_CONTEXT_PX / (2 * float(np.sqrt(-np.log(correlation)))),
        landmark_sd_px=tuple(_trimmed_rms(np.stack(offsets)[:, :, j]) for j in range(len(LANDMARKS))),
    )


def spoilt(view: DecodedView, error: ViewError, rng: np.random.Generator) -> DecodedView:
    """A view as a network with such errors would see it."""
    noise = gaussian_filter(rng.standard_normal(view.decomposition.shape), error.correlation_px)
    gain = rng.normal(error.gain_mean, error.gain_sd)
    bone = view.decomposition > 0
    picture = gain * view.decomposition + error.pixel_sd * noise / noise.std() * bone
    shift = rng.standard_normal(view.landmarks_px.shape) * np.array(error.landmark_sd_px)[:, None]
    return replace(
        view,
        decomposition=np.clip(picture, 0, 0.999).astype(np.float32),
        landmarks_px=view.landmarks_px + shift,
    )


class ObserveSpoilt(Transform):
    """In place of the network: the truth with errors of the size that the network's were measured to have.

    Args:
        seed: together with the name of a study it fixes the errors.
        statistics: file of `ViewError`s by view.
    """

    def __init__(self, seed: int = 0, statistics: str | Path = MEASURED) -> None:
        documents = json.loads(Path(statistics).read_text(encoding="utf-8"))
        self.errors = {view: ViewError(**documents[view]) for view in VIEWS}
        self.seed = seed

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Adds `observed`."""
        data = ObserveTruth()(data)
        name = Path(data["truth_dir"]).parent.name.encode()
        rng = np.random.default_rng([self.seed, *name])
        observed = data["observed"]
        decoded = {view: spoilt(observed.decoded[view], self.errors[view], rng) for view in VIEWS}
        return {**data, "observed": replace(observed, decoded=decoded)}


def measure_network_error(
    dataset_dir: str, bundle_root: str = "bundles/lumbar_multitask", output: str | None = None
) -> None:
    """Measures the errors of the first generation's network on a cohort.

    Args:
        dataset_dir: folder of study folders with their truth; never the test studies.
        bundle_root: the network's bundle.
        output: file for the statistics, printed when omitted.
    """
    from lumbar_ext.workflow.network_bundle import load_first_generation
    from lumbar_ext.workflow.observe import observe, to_network_grids

    network = load_first_generation(bundle_root)
    true: dict[str, list[DecodedView]] = {view: [] for view in VIEWS}
    seen: dict[str, list[DecodedView]] = {view: [] for view in VIEWS}
    for item in study_items(dataset_dir, dataset_dir):
        study = read_study(item["ap_image"], item["lat_image"], item["calibration"])
        truth = ObserveTruth()({"study": study, "truth_dir": item["truth_dir"]})["observed"].decoded
        found = observe(network, to_network_grids(study)).decoded
        for view in VIEWS:
            if found[view].present.all():
                true[view].append(truth[view])
                seen[view].append(found[view])
    document = {view: asdict(view_error(true[view], seen[view])) for view in VIEWS}
    text = json.dumps(document, indent=1, default=float) + "\n"
    if output is None:
        print(text, end="")
    else:
        Path(output).write_text(text, encoding="utf-8")


def _trimmed_rms(offsets: np.ndarray) -> float:
    """Root mean square along an axis of offsets [..., 2]; the largest tenth of the distances is left out."""
    distances = np.linalg.norm(offsets, axis=-1).ravel()
    distances = np.sort(distances[np.isfinite(distances)])
    kept = distances[: max(1, int(0.9 * len(distances)))]
    return round(float(np.sqrt(np.mean(kept**2) / 2)), 3)
