"""Networks with their weights: errors name the file, and nothing ever runs with weights it was not given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from monai.bundle import ConfigParser
from torch import nn

from lumbar_ext.errors import InputError
from lumbar_ext.io.weights import read_tensors


def load_weights(network: nn.Module, weights: str | Path) -> nn.Module:
    """Fills a network with weights, and returns it.

    Args:
        network: any module.
        weights: file with its state dictionary.

    Raises:
        InputError: if the file is missing, or does not hold a state dictionary of finite numbers that fits the network.
    """
    state = read_tensors(weights, f"the weights of {type(network).__name__}")
    try:
        network.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{weights}: not the weights of {type(network).__name__} ({first_line})") from error
    for name, value in network.state_dict().items():
        if not torch.isfinite(value).all():
            raise InputError(
                f"{weights}: {name} holds numbers that are not finite, expected the weights of a {type(network).__name__}"
            )
    return network


def start_weights(network: nn.Module, weights: str) -> nn.Module:
    """The network a training starts from: with the weights of a file, as it is where none is named."""
    return load_weights(network, weights) if weights else network


def load_bundle_network(
    bundle_root: str | Path,
    weights: str | Path = "",
    *,
    config: str = "inference.json",
    overlays: Sequence[str] = (),
    name: str = "network_def",
) -> nn.Module:
    """A network of a bundle's config with weights, in evaluation mode on the CPU.

    Args:
        bundle_root: folder of the bundle.
        weights: file with the network's state dictionary; the bundle's `models/model.pt` if empty.
        config: file in its `configs`.
        overlays: further configs, such as `first_generation.json`.
        name: the config's entry.

    Raises:
        InputError: if a file is missing, or the weights are not a state dictionary that fits the network.
    """
    configs = [Path(bundle_root) / "configs" / file for file in (config, *overlays)]
    for file in configs:
        if not file.is_file():
            raise InputError(f"{file}: no such file, expected the config of the multi-task bundle")
    parser = ConfigParser()
    parser.read_config([str(file) for file in configs])
    return load_weights(parser.get_parsed_content(name), weights or Path(bundle_root) / "models" / "model.pt").eval()


def load_locating_networks(
    bundle_root: str | Path,
    weights: str | Path = "",
    locator_weights: str | Path = "",
    device: torch.device | str | None = None,
) -> tuple[nn.Module, nn.Module]:
    """The network bundle's network and its locator, see `load_bundle_network`.

    Args:
        bundle_root: folder of the network bundle.
        weights: of the network; the bundle's if empty.
        locator_weights: of the locator; the bundle's if empty.
        device: that they go to, channels last; None leaves them on the CPU as they are.

    Raises:
        InputError: as `load_bundle_network`.
    """
    locator_weights = locator_weights or Path(bundle_root) / "models" / "locator.pt"
    networks = (
        load_bundle_network(bundle_root, weights),
        load_bundle_network(bundle_root, locator_weights, name="locator_def"),
    )
    network, locator = (one if device is None else on_device(one, device) for one in networks)
    return network, locator


def load_first_generation(
    bundle_root: str | Path, weights: str | Path = "", device: torch.device | str | None = None
) -> nn.Module:
    """The network bundle's network of the first generation; arguments and errors as `load_locating_networks`."""
    weights = weights or Path(bundle_root) / "models" / "first_generation.pt"
    network = load_bundle_network(bundle_root, weights, overlays=["first_generation.json"])
    return network if device is None else on_device(network, device)


def on_device(network: nn.Module, device: torch.device | str) -> nn.Module:
    """A network on a device, its weights laid out with the channels last, which convolutions are fastest with."""
    return network.to(device=device, memory_format=torch.channels_last)
