"""Ends training when validation has not improved for a while."""

from __future__ import annotations

import ignite.distributed as idist
from ignite.engine import Engine, Events

from lumbar_ext.errors import InputError
from lumbar_ext.training.handlers.best_weights import BestWeights


class EarlyStop:
    """Ends a run `patience` epochs after the last improvement; with several processes, on all of them alike.

    MONAI's EarlyStopHandler counts validations of one process; this one counts epochs from the best weights, survives a
    resume with them, and lets the process that validates decide for all. Place it after the validation.

    Args:
        best: keeps the best weights; where no validation runs (other processes) it never changes.
        patience: epochs without improvement; 0 never stops.
    """

    def __init__(self, best: BestWeights, patience: int) -> None:
        if patience < 0:
            raise InputError(f"patience: expected 0 (never stop) or more epochs, found {patience}")
        self.best = best
        self.patience = patience

    def attach(self, engine: Engine) -> None:
        """Listens for the end of each epoch of a trainer."""
        if self.patience > 0:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self.stop_if_flat)

    def stop_if_flat(self, engine: Engine) -> None:
        """Makes this epoch the last one if the best weights are too old."""
        flat = self.best.epoch > 0 and engine.state.epoch - self.best.epoch >= self.patience
        if idist.all_reduce(int(flat), "MAX") > 0:
            engine.logger.info("no better validation for %d epochs: the run ends", self.patience)
            engine.state.max_epochs = engine.state.epoch
            engine.terminate_epoch()
