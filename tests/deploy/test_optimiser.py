"""The application with another registration, which a word or the environment names."""

import pytest

from lumbar_ext.deploy import __main__ as deploy
from tests.deploy.conftest import BUNDLES


@pytest.fixture
def start(tmp_path, monkeypatch):
    """A function that starts the application in this process, on the sample as DICOM."""

    def run(*words, **environment):
        monkeypatch.delenv("LUMBAR_EXT_OPTIMISER", raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        places = ["-i", str(tmp_path / "dicom"), "-m", str(BUNDLES), "-o", str(tmp_path / "out")]
        monkeypatch.setattr("sys.argv", ["app", *places, *words])
        deploy.main()
        return tmp_path / "out"

    return run


@pytest.mark.parametrize(
    "words, environment, expected",
    [
        ((), {}, {}),
        (("--optimiser", "bobyqa"), {}, {"optimiser": "bobyqa"}),
        ((), {"LUMBAR_EXT_OPTIMISER": "bobyqa"}, {"optimiser": "bobyqa"}),
        (("--optimiser", "paper"), {"LUMBAR_EXT_OPTIMISER": "bobyqa"}, {"optimiser": "paper"}),
        ((), {"LUMBAR_EXT_OPTIMISER": ""}, {}),
    ],
)
def test_word_and_environment_reach_the_bundle(start, monkeypatch, words, environment, expected):
    """The word counts before the environment, whose empty value is none."""
    given = []

    class Noted:
        def __init__(self, argv, overrides, study):
            given.append((overrides, {"--optimiser"} & set(argv)))

        def run(self):
            pass

    monkeypatch.setattr(deploy, "LumbarReconstructionApp", Noted)
    start(*words, **environment)
    assert given == [(expected, set())]


def test_another_word_is_refused(start, capsys):
    with pytest.raises(SystemExit) as ended:
        start("--optimiser", "powell")
    assert ended.value.code == 2 and "powell" in capsys.readouterr().err
