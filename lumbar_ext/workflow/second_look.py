"""The second look: render the current meshes, let a network say where the radiographs disagree, register again.

The first registration believes what the multi-task network saw at one glance. Here a second network
(`networks.look_network`) sees each radiograph beside the DRRs of the meshes and draws them as they should be, odd and even
levels apart; the registration goes on from where it stood, towards these pictures. That is repeated until nothing moves.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import binary_dilation
from torch import nn

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.drr import MeshProjector, drr_from_path_length
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import Camera
from lumbar_ext.networks.inference import reproducible_inference
from lumbar_ext.networks.look_network import LOOK_GROUPS
from lumbar_ext.registration.config import RegistrationConfig
from lumbar_ext.registration.moved_vertebrae import (
    BESIDE_FOUND_CAMERAS,
    follow_movement,
    found_movement,
    with_movement,
)
from lumbar_ext.registration.refined_cameras import FOUND_FROM_FILMS, refine_cameras, with_camera_motions
from lumbar_ext.registration.register import GroupDecomposition, RegistrationInput, register
from lumbar_ext.registration.result import Look, RegistrationResult
from lumbar_ext.registration.targets import BONE_VALUE
from lumbar_ext.transforms.intensity import flat_pixels
from lumbar_ext.transforms.look import crop_around, group_of, group_pictures, look_planes, total_picture
from lumbar_ext.workflow.network_bundle import load_bundle_network
from lumbar_ext.workflow.stages import STAGES, Register, prepare_registration

_LOG = logging.getLogger(__name__)
_CONFIG = "second_look_train.json"
_UNSEEN = 0.3
"""Share of a vertebra where a film shows one grey value, above which it is warned of, for what was exposed has noise. Of
622 vertebrae on films of simulated people those had 0.33 to 0.95 that an end of the film cuts, all others 0.21 at most."""
_LARGEST_VALUE = 0.999
"""A picture is below 1: no bone absorbs everything."""

_LEAST_STATED_ERROR = 0.01  # of a pixel: below it the network is surer than its training allows
_LOOSE_BONE = 0.1
"""Pixel values from here on are bone that some mesh should cover."""
_RIM_PX = 4
"""So far from a silhouette, bone may be a matter of its outline."""
_WEIGHT_RANGE = (0.3, 3.0)
"""Limits of a pixel's weight: a statement may be wrong."""


@dataclass(frozen=True)
class LookInput:
    """What a registration with second looks is given.

    Args:
        registration: what the first registration is given.
        radiographs: by view, [rows, columns] bone bright, in the cameras of `registration`.
        uncalibrated: the cameras are known roughly.
    """

    registration: RegistrationInput
    radiographs: Mapping[str, np.ndarray]
    uncalibrated: bool = False


def load_second_look(
    multitask_root: str | Path, weights: str | Path, looks: int, device: torch.device
) -> nn.Module | None:
    """The network bundle's second-look network with weights; None where no look is asked for.

    Raises:
        InputError: if its config or weights cannot be used.
    """
    if not looks:
        return None
    return load_bundle_network(multitask_root, weights, config=_CONFIG).to(device)


def weights_in_use(
    multitask: str, locator: str | None, shape_model: str, second_look: str, looks: int
) -> dict[str, str]:
    """Role to path of the weights that a run uses, for `run.json`; the first generation has no locator."""
    weights = {"multitask": multitask, "locator": locator, "shape_model": shape_model}
    weights["second_look"] = second_look if looks else None
    return {role: path for role, path in weights.items() if path is not None}


def prepare_looks(batch: dict[str, Any], *args: Any, **kwargs: Any) -> tuple[LookInput, None]:
    """What `RegisterAndLook` is given; the signature is that of MONAI's `prepare_batch`."""
    inputs, _ = prepare_registration(batch)
    radiographs = {view: batch["observed"].canonical[view].pixels for view in VIEWS}
    return LookInput(inputs, radiographs, batch["study"].uncertainty is not None), None


@dataclass(frozen=True)
class SeenPictures:
    """What a look at one view found; arrays [2, rows, columns] of odd and even levels, of the whole view.

    Args:
        corrected: DRRs as the network would draw them.
        drawn: DRRs of the meshes that it was shown.
        stated_error: the absolute error that it expects of `corrected`.
    """

    corrected: np.ndarray
    drawn: np.ndarray
    stated_error: np.ndarray


@dataclass(frozen=True, eq=False)
class SecondLook:
    """How second looks are taken.

    Args:
        network: a `SecondLookNet` in evaluation mode; may be None if `looks` is 0.
        looks: how many at most.
        stop_mm: no further look when no vertebra has moved by more, on average over its vertices.
        apart: register to odd and even levels apart, else to their total.
        weighted: weigh pixels by the error that the network states.
        mirrored: average the AP pictures over the view and its mirror image.
        misfit: mean absolute difference of a vertebra's DRR from the corrected picture over its silhouette, in the
            worse view, from which on it "does not fit".
        glance: the same of the DRR of all vertebrae from the first glance's decomposition.
        unclaimed: bone above L1 or below L5 that no mesh covers, in the first glance's decomposition or the look's pictures,
            as a share of that vertebra's silhouette (`ends_unclaimed`), from which on all levels may be one off.
        moved_mm: mean movement by all looks together from which on a vertebra is not trusted either: the second look
            was trained to correct small errors.

    Raises:
        InputError: for a negative number.
    """

    network: nn.Module | None
    looks: int = 1
    stop_mm: float = 0.05
    apart: bool = True
    weighted: bool = False
    mirrored: bool = True
    misfit: float = 0.1
    glance: float = 0.15
    unclaimed: float = 0.25
    moved_mm: float = 3.0

    def __post_init__(self) -> None:
        if self.looks < 0 or self.looks != int(self.looks):
            raise InputError(f"looks: expected 0 (no second look) or more, found {self.looks}")
        if self.looks and self.network is None:
            raise InputError("looks: a second look needs its network")

    def passes(
        self,
        inputs: LookInput,
        model: nn.Module,
        config: RegistrationConfig,
        first: RegistrationResult,
        max_seconds: float | None = None,
    ) -> Iterator[RegistrationResult]:
        """The first pass, then what each look makes of it.

        Args:
            inputs: radiographs and what the first pass was given.
            model: the shape model.
            config: of the first registration.
            first: its result.
            max_seconds: limit of all registrations together, the first included.
        """
        yield first
        current, triangles = first, np.ascontiguousarray(model.triangles.cpu().numpy().astype(np.int32))
        glance = {view: _glance(inputs.registration, view) for view in VIEWS}
        for _ in range(int(self.looks)):
            left = None if max_seconds is None else max_seconds - current.seconds
            if left is not None and left <= 0:
                return
            seen = {
                view: self.look(view, inputs.radiographs[view], inputs.registration.geometry[view], current, triangles)
                for view in VIEWS
            }
            targets = replace(
                inputs.registration,
                decompositions={view: self._targets(own) for view, own in seen.items()},
                pixel_weights={view: self._weights(own) for view, own in seen.items()} if self.weighted else {},
            )
            found = register(targets, model, config, start=current, max_seconds=left)
            fit = {level: dict(own.loss) for level, own in found.vertebrae.items()}
            looked = Look(seconds=found.seconds, moved_mm=movement_mm(current, found), fit=fit)
            lengths = path_lengths_mm(inputs.registration, found, triangles)
            errors = glance_errors(inputs.registration, lengths)
            bone = {view: total_picture(own.corrected) for view, own in seen.items()}
            unclaimed = tuple(
                max(pair) for pair in zip(*(ends_unclaimed(b, lengths) for b in (glance, bone)), strict=True)
            )
            current = self._doubted(_continued(current, found, looked, errors), first, unclaimed)
            yield current
            if max(looked.moved_mm.values()) < self.stop_mm:
                return

    def _targets(self, seen: SeenPictures) -> np.ndarray | tuple[GroupDecomposition, ...]:
        """What is registered to in one view."""
        if not self.apart:
            return total_picture(seen.corrected)
        return tuple(
            GroupDecomposition(tuple(level for level in LEVELS if group_of(level) == group), picture)
            for group, picture in enumerate(seen.corrected)
        )

    def _weights(self, seen: SeenPictures) -> np.ndarray:
        """How much each pixel of a view counts: the less, the larger its stated error; about one on average."""
        error = np.maximum(seen.stated_error.max(axis=0), _LEAST_STATED_ERROR)
        bone = total_picture(seen.corrected) > BONE_VALUE
        typical = float(np.median(error[bone])) if bone.any() else _LEAST_STATED_ERROR
        return np.clip(typical / error, *_WEIGHT_RANGE)

    @reproducible_inference()
    def look(
        self, view: str, radiograph: np.ndarray, camera: Camera, meshes: RegistrationResult, triangles: np.ndarray
    ) -> SeenPictures:
        """What the network makes of one view with the meshes of a registration."""
        vertices_mm = {level: fit.seen_mm(view) for level, fit in meshes.vertebrae.items()}
        crop = crop_around(camera, vertices_mm.values())
        drawn = group_pictures(MeshProjector(crop.camera(camera)), vertices_mm, triangles)
        planes = look_planes(crop.cut(radiograph), drawn, view)
        answers = [self._answer(planes)]
        if self.mirrored and view == "ap":
            answers.append(self._answer(np.ascontiguousarray(planes[..., ::-1]))[..., ::-1])
        answer = np.mean(answers, axis=0)
        shape = radiograph.shape
        return SeenPictures(
            corrected=crop.put(np.clip(answer[:LOOK_GROUPS], 0, _LARGEST_VALUE), shape),
            drawn=crop.put(drawn, shape),
            stated_error=crop.put(np.exp(answer[LOOK_GROUPS:]), shape),
        )

    def _answer(self, planes: np.ndarray) -> np.ndarray:
        device = next(self.network.parameters()).device
        return self.network(torch.from_numpy(planes)[None].to(device))[0].cpu().numpy()

    def _doubted(
        self, result: RegistrationResult, first: RegistrationResult, unclaimed: tuple[float, float]
    ) -> RegistrationResult:
        """The result with a warning for every vertebra that the second look does not believe."""
        ends = [
            f"does not fit: there is bone {where} that no vertebra covers, the levels may be one off"
            for where, share in zip(("above L1", "below L5"), unclaimed, strict=True)
            if share > self.unclaimed
        ]
        moved, drawn, found = movement_mm(first, result), result.looks[-1].fit, {}
        for level, fit in result.vertebrae.items():
            doubts = found[level] = list(ends)
            misfit = max(drawn[level].values())
            if not misfit < self.misfit:
                doubts.append(f"does not fit: differs by {misfit:.2f} from what the second look draws there")
            glance = max(fit.loss.values())
            if not glance < self.glance:
                doubts.append(f"does not fit: differs by {glance:.2f} from what the first glance saw there")
            if moved.get(level, 0.0) > self.moved_mm:
                doubts.append(f"does not fit: the second look moved it by {moved[level]:.1f} mm")
        return _with_doubts(result, found)


def _with_doubts(result: RegistrationResult, doubts: Mapping[str, Sequence[str]]) -> RegistrationResult:
    """The result with further warnings of its vertebrae, by level, which are logged, too."""
    added = [f"{level}: {text}" for level, own in doubts.items() for text in own]
    for text in added:
        _LOG.warning(text)
    vertebrae = {
        level: replace(fit, warnings=(*fit.warnings, *doubts[level])) for level, fit in result.vertebrae.items()
    }
    return replace(result, vertebrae=vertebrae, warnings=(*result.warnings, *added))


def movement_mm(before: RegistrationResult, after: RegistrationResult) -> dict[str, float]:
    """By level that both found, how far the vertices of a vertebra have moved on average."""
    return {
        level: float(np.linalg.norm(fit.vertices_mm - before.vertebrae[level].vertices_mm, axis=1).mean())
        for level, fit in after.vertebrae.items()
        if level in before.vertebrae
    }


def path_lengths_mm(
    inputs: RegistrationInput, result: RegistrationResult, triangles: np.ndarray
) -> dict[str, dict[str, np.ndarray]]:
    """By view and level, the path length images [rows, columns] of the meshes of a result."""
    lengths = {}
    for view in VIEWS:
        projector = MeshProjector(inputs.geometry[view])
        fits = result.vertebrae.items()
        lengths[view] = {level: projector.path_length(fit.seen_mm(view), triangles) for level, fit in fits}
    return lengths


def glance_errors(
    inputs: RegistrationInput, lengths_mm: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, dict[str, float]]:
    """By level and view, how far the DRR of all meshes is from the first glance's decomposition.

    The mean absolute difference over the vertebra's silhouette, NaN outside the view: what a first registration states as
    its loss. A look fits its own pictures; these are an independent witness.
    """
    errors = {level: {} for level in lengths_mm[VIEWS[0]]}
    for view, own in lengths_mm.items():
        residual = np.abs(drr_from_path_length(sum(own.values())) - _glance(inputs, view))
        for level, length in own.items():
            inside = length > 0
            errors[level][view] = float(residual[inside].mean()) if inside.any() else float("nan")
    return errors


def ends_unclaimed(
    bone: Mapping[str, np.ndarray], lengths_mm: Mapping[str, Mapping[str, np.ndarray]]
) -> tuple[float, float]:
    """Bone above L1, and below L5, that no mesh covers: as shares of their silhouettes, in the view with less of it.

    Decompositions show L1 to L5 alone, so there should be none. If there is, a neighbour was taken for L1 or for L5. Where the
    outermost vertebra is another level, one was not found, and its bone has to be there: 0 then.

    Args:
        bone: by view, a decomposition of all levels [rows, columns], rows growing downwards.
        lengths_mm: `path_lengths_mm`.
    """
    shares = {level: [] for level in (LEVELS[0], LEVELS[-1])}
    for view, own in lengths_mm.items():
        covered = binary_dilation(sum(own.values()) > 0, iterations=_RIM_PX)
        loose = (bone[view] > _LOOSE_BONE) & ~covered
        rows = np.arange(len(loose))[:, None]
        for level, found in shares.items():
            silhouette = own.get(level, np.zeros(loose.shape)) > 0
            if not silhouette.any():
                found.append(0.0)
                continue
            middle = float((rows * silhouette).sum() / silhouette.sum())
            beyond = rows < middle if level == LEVELS[0] else rows > middle
            found.append(float((loose & beyond).sum() / silhouette.sum()))
    return tuple(min(found) for found in shares.values())


def _glance(inputs: RegistrationInput, view: str) -> np.ndarray:
    """The first glance's decomposition of all levels in a view."""
    found = inputs.decompositions[view]
    return 1 - np.prod([1 - group.image for group in found], axis=0) if isinstance(found, tuple) else found


def _continued(
    before: RegistrationResult, after: RegistrationResult, look: Look, errors: dict[str, dict[str, float]]
) -> RegistrationResult:
    """A result as part of a longer registration: what it took in all, from the very start, judged by the first glance."""
    whole = after.following(before)
    vertebrae = {level: replace(fit, loss=errors[level]) for level, fit in whole.vertebrae.items()}
    return replace(whole, vertebrae=vertebrae, looks=(*before.looks, look))


class RegisterAndLook(Register):
    """`Register`, then second looks: the inferer of the bundle.

    Args:
        second_look: how they are taken; None or one of no looks leaves the first registration as it is.
        refine: whether small errors of the stated cameras are corrected before that; None where the study says that they are
            not calibrated.
        moved: whether each vertebra may have moved between the exposures.
        args, kwargs: those of `Register`.
    """

    def __init__(
        self,
        *args: Any,
        second_look: SecondLook | None = None,
        refine: bool | None = None,
        moved: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.second_look, self.refine, self.moved = second_look, refine, moved

    def __call__(self, inputs: LookInput, network: nn.Module, *args: Any, **kwargs: Any) -> RegistrationResult:
        """Registers `network`, a shape model, to what the network of the first stage saw, and looks again."""
        with self.progress.stage(STAGES[3]):
            limit = self.max_seconds
            result = register(inputs.registration, network, self.config, progress=self._show, max_seconds=limit)
            motions, movement = {}, None
            if inputs.uncalibrated if self.refine is None else self.refine:
                errors = FOUND_FROM_FILMS if inputs.uncalibrated else None
                refined = refine_cameras(inputs.registration, network, self.config, result, errors, max_seconds=limit)
                inputs, result = replace(inputs, registration=refined.inputs), refined.result
                motions = result.camera_motions
                self.progress.note("cameras refined")
            if self.moved:
                expected = BESIDE_FOUND_CAMERAS if inputs.uncalibrated else None
                followed = follow_movement(
                    inputs.registration, network, self.config, result, expected, max_seconds=limit
                )
                movement = found_movement(followed)
                still = movement is not None and movement.is_noise
                result = replace(result, seconds=followed.seconds) if still else followed
                self.progress.note("no movement found" if still else "movement followed")
            if self.second_look is not None:
                for looked in self.second_look.passes(inputs, network, self.config, result, limit):
                    self.progress.note(f"second look {len(looked.looks)}")
                    result = looked
        result = with_camera_motions(result, motions) if motions else result
        result = _with_doubts(result, {level: fit.contact_doubts for level, fit in result.vertebrae.items()})
        result = _with_unseen(result, inputs)
        return with_movement(result, movement, inputs.uncalibrated) if self.moved else result


def _with_unseen(result: RegistrationResult, inputs: LookInput) -> RegistrationResult:
    """The result with a warning for every vertebra that stands where a film shows nothing: beyond its end or its collimation.

    Networks draw there what people have there on average, so that nothing else tells.
    """
    flat = {view: flat_pixels(picture) for view, picture in inputs.radiographs.items()}
    doubts = {}
    for level, fit in result.vertebrae.items():
        shares = {
            view: _flat_share(flat[view], inputs.registration.geometry[view].project(fit.seen_mm(view)))
            for view in VIEWS
        }
        doubts[level] = [
            f"the {view} film shows nothing over {share:.0%} of where it stands: it is what people have there on average"
            for view, share in shares.items()
            if share > _UNSEEN
        ]
    return _with_doubts(result, doubts)


def _flat_share(flat: np.ndarray, pixels: np.ndarray) -> float:
    """The share of points [N, 2] (u, v) on flat pixels, or outside of the picture."""
    u, v = np.rint(pixels).astype(int).T
    inside = (u >= 0) & (v >= 0) & (u < flat.shape[1]) & (v < flat.shape[0])
    return float(1 - inside.mean() + flat[v[inside], u[inside]].sum() / len(pixels))
