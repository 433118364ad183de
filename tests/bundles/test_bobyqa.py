"""`--optimiser bobyqa` from the radiographs of the sample to the report, the second look included."""

import json

import lumbar_ext
from lumbar_ext.anatomy import LEVELS
from lumbar_ext.bundle_paths import RECONSTRUCTION, bundle_dir
from lumbar_ext.registration.result import StopReason

SAMPLE = bundle_dir(RECONSTRUCTION) / "sample"


def test_the_word_runs_the_papers_objective_and_a_second_look(quick_bobyqa, tmp_path):
    paths, folder = [SAMPLE / name for name in ("ap.png", "lat.png", "calibration.json")], tmp_path / "out"
    # no time limit decides how it ends
    given = {"optimiser": "bobyqa", "looks": 1, "max_seconds": None, "write_pdf": False}
    result = lumbar_ext.reconstruct(*paths, folder, **given)
    registration = result.registration
    assert registration.levels == LEVELS and registration.stop_reason is not StopReason.FAILED
    assert {(len(fit.coefficients), len(fit.free_form)) for fit in registration.vertebrae.values()} == {(14, 0)}
    assert registration.loss < registration.initial_loss

    # the look's pictures are searched by the same optimiser, which moves all vertebrae again
    (look,) = registration.looks
    assert set(look.moved_mm) == set(LEVELS) and all(0 < moved < 10 for moved in look.moved_mm.values())
    assert registration.evaluations > 2 * len(LEVELS) * 40

    written = json.loads((folder / "run.json").read_text())
    assert "BobyqaBlocks" in written["parameters"]["registration"] and written["parameters"]["looks"] == 1
    assert "second_look" in written["weights"]
    assert len(json.loads((folder / "registration.json").read_text())["second_looks"]) == 1
    assert (folder / "report.html").is_file() and all((folder / f"{level}.stl").is_file() for level in LEVELS)

    # intervals come from the loss's curvature, which a search without derivatives does not know
    found = [m for m in result.measurements if m.value is not None]
    assert registration.curvature is None and len(found) > 50 and all(m.interval_90 is None for m in found)
