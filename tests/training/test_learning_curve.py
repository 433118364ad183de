import csv

from ignite.engine import Engine

from lumbar_ext.training.learning_curve import LearningCurve


def run(path, iterations, resumed=None, metrics=("dice",)):
    """A trainer of that many iterations of half a minute, validated at their end; returns the curve."""
    now = [0.0]
    validator = Engine(lambda engine, batch: None)

    def process(engine, batch):
        now[0] += 30.0

    trainer = Engine(process)
    curve = LearningCurve(path, validator, lambda: {"l1": now[0] / 30}, clock=lambda: now[0])
    if resumed:
        curve.load_state_dict(resumed)
    curve.attach(trainer)
    trainer.run(range(iterations), max_epochs=1)
    validator.state.metrics = dict.fromkeys(metrics, 0.5)
    curve.write(validator)
    return curve


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_lines_add_up_over_sessions(tmp_path):
    path = tmp_path / "deep" / "curve.csv"
    first = run(path, 4)
    run(path, 2, first.state_dict())
    assert [row["iteration"] for row in rows(path)] == ["4", "6"]
    assert [row["hours"] for row in rows(path)] == ["0.03333", "0.05"]
    # the mean over the iterations since the last line
    assert [float(row["train_l1"]) for row in rows(path)] == [2.5, 1.5]


def test_other_columns_begin_another_file(tmp_path):
    path = tmp_path / "curve.csv"
    run(path, 1)
    run(path, 1, metrics=("dice", "psnr_db"))
    assert "psnr_db" in rows(path)[0] and "psnr_db" not in rows(tmp_path / "curve.1.csv")[0]
