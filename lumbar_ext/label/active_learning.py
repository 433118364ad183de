"""Active learning: the next radiograph to label is the one in which the network is least sure of its landmarks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from monailabel.interfaces.tasks.strategy import Strategy

from lumbar_ext.errors import InputError
from lumbar_ext.label.datastore import GuardedDatastore
from lumbar_ext.label.request_parameters import ViewParameters
from lumbar_ext.label.seen_radiograph import NetworkBundle
from lumbar_ext.label.view_tasks import settled_parameters

_CACHE = "lumbar_ext_uncertainty"


class Uncertainty(Strategy):
    """Uncertainty of a radiograph: 1 minus the mean confidence of all 35 landmarks, those not found counting 0.

    Values are kept in the datastore until the weights change.

    Args:
        network: the network bundle.
    """

    def __init__(self, network: NetworkBundle) -> None:
        super().__init__("The radiograph in which the network is least sure of its landmarks")
        self.network = network

    def __call__(self, request: Mapping[str, Any], datastore: GuardedDatastore) -> dict[str, Any] | None:
        """The id and uncertainty of the next radiograph; None when all are labelled."""
        given = ViewParameters.of(request)
        values = {}
        for image_id in datastore.get_unlabeled_images():
            try:
                values[image_id] = self._uncertainty(image_id, given, datastore)
            except InputError as error:
                logging.getLogger(__name__).warning("left out of active learning: %s", error)
        if not values:
            return None
        chosen = max(sorted(values), key=values.get)
        return {"id": chosen, "uncertainty": values[chosen], "candidates": len(values)}

    def _uncertainty(self, image_id: str, given: ViewParameters, datastore: GuardedDatastore) -> float:
        path = datastore.image_path(image_id)
        key = f"{self.network.weights().sha256} {path.stat().st_mtime_ns} {given}"
        known = datastore.get_image_info(image_id).get(_CACHE, {})
        if known.get("key") == key:
            return known["value"]
        parameters = settled_parameters(image_id, path, given)
        value = round(1 - float(self.network.see(path, parameters.view, parameters).confidence.mean()), 4)
        datastore.update_image_info(image_id, {_CACHE: {"key": key, "value": value}})
        return value
