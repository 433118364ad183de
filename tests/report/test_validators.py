"""Pages, papers and meshes before programs of other hands that know the formats better than we do."""

import numpy as np
import pytest
import trimesh

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.batch.cohort_folder import CohortFolder
from lumbar_ext.batch.cohort_verbs import write_cohort_report
from lumbar_ext.batch.manifest import Study
from lumbar_ext.batch.study_outcome import Outcome, What, publish_outcome, write_outcome
from lumbar_ext.mesh.files import write_ply, write_stl
from lumbar_ext.report.follow_up_page import follow_up
from lumbar_ext.report.html import _plotly_js, report_html
from lumbar_ext.report.pdf import report_pdf
from lumbar_ext.report.viewer_files import write_gltf_scene
from tests.batch.fake import HEADER
from tests.report.test_follow_up_page import written
from tests.report.test_report import EVIL, SACRUM_MM, made, with_sacrum
from tests.validators import gltf_issues, html_errors, pdf_text

SPHERE = trimesh.creation.icosphere(3, radius=12.0)


def cohort_page(folder):
    """A page of three studies: one with values and a flag, one refused, one to do."""
    cohort = CohortFolder(folder)
    studies = [Study(name, {}) for name in ("done & <flagged>", "refused", "to do")]
    own = cohort.study(studies[0])
    own.mkdir(parents=True)
    write_outcome(own, Outcome(studies[0].name, What.FLAGGED, "", ("L5 check: <look>",), "", {}))
    values = "L1-L5,lordosis_l1_l5,Lumbar lordosis L1-L5,41,deg,2,38,42,17.3,62.1,False,,\n"
    (own / "measurements.csv").write_text(HEADER + values)
    (own / "report.html").touch()
    publish_outcome(
        cohort.study(studies[1]), Outcome(studies[1].name, What.BAD_INPUT, "ap.png: no such file", (), "", {})
    )
    write_cohort_report(cohort, studies)
    return cohort.page


def test_all_pages_are_valid_html(tmp_path):
    report, doubtful = tmp_path / "report.html", tmp_path / "doubtful.html"
    report.write_text(report_html(*made(anchors=with_sacrum(), study_date="20260304")))
    # Plotly is the same in both, and the longest part.
    doubtful.write_text(report_html(*made(levels=("L3", "L4"), patient_id=EVIL)).replace(_plotly_js(), ""))
    follow_up(written(tmp_path / "a"), written(tmp_path / "b", coefficients=(1.0, 0.0)), str(tmp_path / "change"))
    pages = [report, doubtful, tmp_path / "change" / "follow_up.html", cohort_page(tmp_path / "cohort")]
    assert html_errors(*pages) == []


def test_the_checker_of_pages_finds_errors(tmp_path):
    (tmp_path / "bad.html").write_text("<!doctype html><html lang=en><title>x</title><dl><p>no list</dl>")
    assert html_errors(tmp_path / "bad.html")


def test_poppler_reads_the_paper(tmp_path):
    (tmp_path / "report.pdf").write_bytes(report_pdf(*made(anchors=with_sacrum(), study_date="20260304")))
    pages = pdf_text(tmp_path / "report.pdf")
    text = " ".join(" ".join(pages).split())
    for expected in (*LEVELS, "2026-03-04", "Research only", "Lumbar lordosis L1-S1", "±"):
        assert expected in text


@pytest.mark.parametrize("rim_mm", [None, SACRUM_MM])
def test_the_scene_is_valid_gltf(tmp_path, rim_mm):
    meshes = {level: SPHERE.vertices - np.array([0.0, 0, 30 * place]) for place, level in enumerate(LEVELS)}
    spread = {level: np.linspace(0, 2, len(SPHERE.vertices)) for level in LEVELS[1:]}
    write_gltf_scene(tmp_path / "scene.glb", meshes, SPHERE.faces, rim_mm, spread)
    issues, triangles = gltf_issues(tmp_path / "scene.glb")
    assert issues == []
    assert triangles - len(LEVELS) * len(SPHERE.faces) == (0 if rim_mm is None else pytest.approx(20, abs=16))


def test_a_scene_that_is_cut_short_is_not(tmp_path):
    write_gltf_scene(tmp_path / "scene.glb", {"L3": SPHERE.vertices}, SPHERE.faces)
    content = (tmp_path / "scene.glb").read_bytes()
    (tmp_path / "cut.glb").write_bytes(content[:-400])
    issues, _ = gltf_issues(tmp_path / "cut.glb")
    assert issues


def test_vtk_and_trimesh_read_the_same_meshes(tmp_path):
    pyvista = pytest.importorskip("pyvista", reason="VTK comes with the extra [build]")
    spread = np.linspace(0, 1, len(SPHERE.vertices))
    write_stl(tmp_path / "L3.stl", SPHERE.vertices, SPHERE.faces)
    write_ply(tmp_path / "L3.ply", SPHERE.vertices, SPHERE.faces, {"sd_mm": spread})
    for path in (tmp_path / "L3.stl", tmp_path / "L3.ply"):
        by_vtk, by_trimesh = pyvista.read(path), trimesh.load(path)
        assert by_vtk.n_cells == len(by_trimesh.faces) == len(SPHERE.faces)
        assert by_vtk.is_manifold and by_trimesh.is_watertight
        assert by_vtk.volume == pytest.approx(SPHERE.volume, rel=1e-5) == by_trimesh.volume
        assert by_vtk.bounds == pytest.approx(SPHERE.bounds.T.ravel(), abs=1e-4)
