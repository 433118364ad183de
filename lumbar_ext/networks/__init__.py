"""Networks that read a radiograph: encoder, decoders and the layout of their output."""

from lumbar_ext.networks.locator import SpineLocator
from lumbar_ext.networks.multitask import LumbarMultitaskNet
from lumbar_ext.networks.spine_network import LumbarSpineNet

__all__ = ["LumbarMultitaskNet", "LumbarSpineNet", "SpineLocator"]
