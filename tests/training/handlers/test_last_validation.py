from types import SimpleNamespace

from ignite.engine import Engine

from lumbar_ext.training.handlers.last_validation import LastValidation


class Validator:
    """Records the epochs it was run for."""

    def __init__(self, last_epoch):
        self.state = SimpleNamespace(epoch=last_epoch)
        self.epochs = []

    def run(self, epoch):
        self.epochs.append(epoch)


def run(last_validated):
    validator = Validator(last_validated)
    engine = Engine(lambda engine, batch: None)
    LastValidation(validator).attach(engine)
    engine.run([0], max_epochs=3)
    return validator.epochs


def test_final_weights_are_validated_once():
    assert run(last_validated=2) == [3]
    assert run(last_validated=3) == []
