"""Judges of our files by other hands, each skipped with a reason where a machine lacks it: `.ci/run` and
`make install-validators` bring them.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NODE_MODULES = ROOT / ".validators" / "node_modules"
PIXELMED = Path("/usr/share/java/pixelmed.jar")
_SECONDS = 1200  # for what takes ten on a free machine

# Short runs on few cores: no second compiler, no threads that collect garbage.
_JAVA = ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xss4m")
# Java's own XSLT refuses a style sheet as long as PixelMed's without these.
_NO_XPATH_LIMITS = [f"-Djdk.xml.xpath{name}Limit=0" for name in ("TotalOp", "ExprOp", "ExprGrp")]
# Properties of SVG 2 that its judge of CSS does not know.
_SVG_2 = re.compile(r"CSS: “(vector-effect|paint-order)”: Property .* doesn't exist")


def _need(*programs, file=None, by):
    missing = [name for name in programs if shutil.which(name) is None]
    if missing or (file is not None and not file.exists()):
        pytest.skip(f"needs {', '.join(missing) or file}: {by}")


def _said(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False, **options)


def _java(*arguments):
    ended = _said(*_JAVA, *arguments)
    if "UnsupportedClassVersionError" in ended.stderr:
        pytest.skip(f"needs a newer Java for {arguments[1]}")
    return ended


def html_errors(*pages):
    """The errors of the W3C's Nu Html Checker, one line each."""
    jar = NODE_MODULES / "vnu-jar" / "build" / "dist" / "vnu.jar"
    _need("java", file=jar, by="make install-validators")
    ended = _java("-jar", jar, "--format", "json", "--exit-zero-always", *pages)
    found = [one for one in json.loads(ended.stderr)["messages"] if one["type"] in ("error", "non-document-error")]
    return [f"{one.get('url')}: {one['message']}" for one in found if not _SVG_2.search(one["message"])]


def gltf_issues(scene):
    """The errors and warnings of Khronos' glTF validator, and how many triangles it counts; None where it cannot."""
    _need("node", file=NODE_MODULES / "gltf-validator", by="make install-validators")
    program = (
        "require('gltf-validator').validateBytes(new Uint8Array(require('fs').readFileSync(process.argv[1])))"
        ".then(report => console.log(JSON.stringify(report)))"
    )
    report = json.loads(_said("node", "-e", program, str(scene), cwd=NODE_MODULES.parent).stdout)
    # 0 and 1 are errors and warnings, 2 and 3 advice.
    said = [one["message"] for one in report["issues"]["messages"] if one["severity"] < 2]
    return said, report.get("info", {}).get("totalTriangleCount")


def pdf_text(paper):
    """The text that Poppler reads on each page; what it complains of is an error."""
    _need("pdfinfo", "pdftotext", by="apt-get install poppler-utils")
    info, text = _said("pdfinfo", paper), _said("pdftotext", "-layout", paper, "-")
    assert (info.returncode, info.stderr, text.returncode, text.stderr) == (0, "", 0, "")
    pages = text.stdout.removesuffix("\f").split("\f")
    assert len(pages) == int(re.search(r"^Pages:\s+(\d+)$", info.stdout, re.MULTILINE)[1])
    return pages


def sr_findings(report):
    """What PixelMed's DicomSRValidator says of a structured report: the template it found, and its errors."""
    _need("java", file=PIXELMED, by="apt-get install default-jre-headless libpixelmed-java")
    ended = _java("-cp", PIXELMED, *_NO_XPATH_LIMITS, "com.pixelmed.validate.DicomSRValidator", report)
    lines = ended.stdout.splitlines()
    assert "IOD validation complete" in lines, ended.stdout + ended.stderr
    (template,) = re.findall(r"^Found Root Template (\S+)", ended.stdout, re.MULTILINE)
    return template, [line for line in lines if line.startswith("Error")]
