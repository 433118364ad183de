"""Networks that read a radiograph: encoder, decoders and the layout of their output."""

from lumbar_ext.networks.multitask import LumbarMultitaskNet

__all__ = ["LumbarMultitaskNet"]
