"""Corrected landmarks as training items of the network bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from monai.data import Dataset

from lumbar_ext.label.image_markups import read_markups
from lumbar_ext.label.image_space import ImageSpace
from lumbar_ext.label.request_parameters import ViewParameters
from lumbar_ext.label.seen_radiograph import NetworkBundle
from lumbar_ext.radiographs.formats import read_radiograph
from lumbar_ext.radiographs.radiograph import with_bone_bright
from lumbar_ext.training.view_records import ViewRecord
from lumbar_ext.transforms.canonical import to_network_grid
from lumbar_ext.transforms.intensity import normalise_intensity
from lumbar_ext.transforms.single_view import displayed_camera
from lumbar_ext.transforms.view_truth import ViewTruth


def labelled_view(image: Path, markups: Path, parameters: ViewParameters, network: NetworkBundle) -> ViewRecord:
    """One radiograph with a user's landmarks on the network grid.

    A user corrects landmarks only. The target of the decomposition is what the network itself sees now, so that this part
    of it holds still while the landmarks learn.

    Args:
        image: the radiograph.
        markups: the user's landmarks.
        parameters: with view and, where the file does not state it, pixel spacing.
        network: gives the decomposition.

    Raises:
        InputError: if a file cannot be used.
    """
    radiograph = with_bone_bright(read_radiograph(image), parameters.polarity)
    spacing_mm = radiograph.pixel_spacing_mm or (parameters.pixel_spacing_mm, parameters.pixel_spacing_mm)
    seen = to_network_grid(radiograph.pixels, displayed_camera(radiograph.size_px, spacing_mm), "ap")
    landmarks_px = seen.to_canonical_px(read_markups(markups, ImageSpace.of_file(image)))
    decomposition = network.see(image, parameters.view, parameters).decomposition
    truth = ViewTruth(parameters.view, normalise_intensity(seen.pixels), decomposition, landmarks_px)
    return ViewRecord.of(truth, image)


class LabelledViews:
    """A set of labelled views that a config can name as one value.

    Args:
        records: the views.
    """

    def __init__(self, records: list[ViewRecord]) -> None:
        self.records = tuple(records)


class LabelledViewDataset(Dataset):
    """Labelled views as the bundle's `StudyViewDataset` gives views of studies.

    Args:
        views: the set.
        transform: applied to the sample dictionary of `ViewRecord.as_sample`.
    """

    def __init__(self, views: LabelledViews, transform: Callable | None = None) -> None:
        super().__init__(list(views.records), transform)

    def _transform(self, index: int) -> Any:
        sample = self.data[index].as_sample()
        return self.transform(sample) if self.transform is not None else sample
