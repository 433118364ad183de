"""Training losses of the multi-task network."""

from lumbar_ext.losses.multitask_loss import MultiTaskLoss
from lumbar_ext.losses.spine_loss import SpineLoss

__all__ = ["MultiTaskLoss", "SpineLoss"]
