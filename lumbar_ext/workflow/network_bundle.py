"""The network of the multi-task bundle, built and loaded as that bundle's own config says."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from monai.bundle import ConfigParser
from torch import nn

from lumbar_ext.errors import InputError


def load_bundle_network(bundle_root: str | Path, weights: str | Path) -> nn.Module:
    """The `network_def` of a bundle's `configs/inference.json` with weights, in evaluation mode on the CPU.

    Args:
        bundle_root: folder of the bundle.
        weights: file with the network's state dictionary.

    Raises:
        InputError: if a file is missing, or the weights are not a state dictionary that fits the network.
    """
    config = Path(bundle_root) / "configs" / "inference.json"
    for path in (config, Path(weights)):
        if not path.is_file():
            raise InputError(f"{path}: no such file, expected the multi-task bundle")
    parser = ConfigParser()
    parser.read_config(str(config))
    network = parser.get_parsed_content("network_def")
    try:
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    except (RuntimeError, pickle.UnpicklingError, EOFError, AttributeError) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{weights}: not weights of the network in {config} ({first_line})") from error
    return network.eval()
