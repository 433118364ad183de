"""The benchmark of the simulator times the stages there are."""

from benchmarks.simulation import STAGES, _stage_times
from lumbar_ext.simulation import simulated_study as study


class _Population:
    """Nothing is simulated: only the accounting is looked at."""


def test_stages_are_functions_of_the_study_and_are_put_back(monkeypatch):
    def slow(*_args, **_kwargs):
        return sum(range(20000))

    for name in STAGES:
        assert callable(getattr(study, name))
        monkeypatch.setattr(study, name, slow)

    def simulate(_population, _seed):
        for name in STAGES:
            getattr(study, name)()

    monkeypatch.setattr("benchmarks.simulation.simulate_study", simulate)
    monkeypatch.setattr("benchmarks.simulation.view_sample", slow)
    times = _stage_times(_Population(), 3)
    assert set(times) == {*STAGES.values(), "rest", "network grid, both views", "study"}
    assert all(getattr(study, name) is slow for name in STAGES)
    assert all(0 < wall <= times["study"][1] for name, (_, wall) in times.items() if name != "rest")
