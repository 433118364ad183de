"""Training losses of the multi-task network."""

from lumbar_ext.losses.multitask import MultiTaskLoss

__all__ = ["MultiTaskLoss"]
