"""Makes sure that the final weights of a run are validated, whatever the validation interval."""

from __future__ import annotations

from ignite.engine import Engine, Events
from monai.engines import Evaluator


class LastValidation:
    """Validates once more when training completes, unless its last epoch was validated already.

    Args:
        validator: the evaluator that a ValidationHandler also runs; its epoch count tells what was validated.
    """

    def __init__(self, validator: Evaluator) -> None:
        self.validator = validator

    def attach(self, engine: Engine) -> None:
        """Listens for the end of training."""
        engine.add_event_handler(Events.COMPLETED, self.run_if_needed)

    def run_if_needed(self, engine: Engine) -> None:
        """Runs the validator when its last epoch is not the trainer's."""
        if self.validator.state.epoch != engine.state.epoch:
            self.validator.run(engine.state.epoch)
