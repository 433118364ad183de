"""Training losses of the multi-task network."""

from lumbar_ext.losses.multitask_loss import MultiTaskLoss

__all__ = ["MultiTaskLoss"]
