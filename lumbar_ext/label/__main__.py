"""Starts the server: `python -m lumbar_ext.label --studies FOLDER [--port 8000]`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from lumbar_ext.errors import InputError

LOOPBACK = "127.0.0.1"
_SYSTEM = ("/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/run/user", "/sbin", "/sys", "/usr")
_EVERY_ADDRESS = ("0.0.0.0", "::")


def main(argv: list[str] | None = None) -> None:
    """Sets MONAI Label up for the studies folder and serves until interrupted."""
    options = _options(argv)
    studies = Path(options.studies).resolve()
    try:
        _require_usable(studies)
    except (OSError, InputError) as error:
        sys.exit(f"error: {studies}: not usable as studies folder ({getattr(error, 'strerror', None) or error})")
    with tempfile.TemporaryDirectory(prefix="lumbar_ext-label-") as private:
        _set_environment(studies, options, private)
        _serve(options)


def _require_usable(studies: Path) -> None:
    """Makes the folder, and sees whether files can be kept there: labels and weights go there.

    Raises:
        InputError: for a place of the system itself, whose files are no studies or no files at all.
        OSError: if it cannot be made or written to.
    """
    if studies == Path(studies.root) or any(studies.is_relative_to(place) for place in _SYSTEM):
        raise InputError(f"a place of the system, expected a folder of its own; {', '.join(_SYSTEM)} are none")
    studies.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=studies):
        pass


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m lumbar_ext.label", description=__doc__)
    parser.add_argument("--studies", required=True, help="folder of radiographs; labels and trained weights go there")
    parser.add_argument("--bundles", help="folder of the bundles (default: the repository's)")
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8000)
    return parser.parse_args(argv)


def _set_environment(studies: Path, options: argparse.Namespace, private: str) -> None:
    """MONAI Label reads its settings from the environment, here and in the processes it starts to train."""
    app_dir = Path(__file__).parent
    chosen = {
        "MONAI_LABEL_APP_DIR": str(app_dir),
        "MONAI_LABEL_STUDIES": str(studies),
        "MONAI_LABEL_SERVER_PORT": str(options.port),
        # Sessions unpack archives of a client; images are uploaded one by one instead.
        "MONAI_LABEL_SESSIONS": "false",
        "MONAI_LABEL_AUTO_UPDATE_SCORING": "false",
        "LUMBAR_EXT_HOSTS": "*" if options.host in _EVERY_ADDRESS else ",".join({LOOPBACK, "localhost", options.host}),
        # MONAI Label adds to this variable when it starts a training process.
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "TMPDIR": private,
    }
    os.environ.update(chosen)
    tempfile.tempdir = private
    if options.bundles:
        os.environ["LUMBAR_EXT_BUNDLES"] = str(Path(options.bundles).resolve())


def _serve(options: argparse.Namespace) -> None:
    import logging

    import uvicorn

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    from monailabel.config import settings

    # Not by the environment: the processes that train stumble over URLs there (MONAI Label 0.8.5).
    settings.MONAI_LABEL_CORS_ORIGINS = [f"http://{host}:{options.port}" for host in (LOOPBACK, "localhost")]
    from monailabel.interfaces.utils.app import app_instance

    from lumbar_ext.label.web.server import app

    try:
        # MONAI Label keeps it; within Uvicorn's start a refusal would be a traceback.
        app_instance()
    except InputError as error:
        sys.exit(f"error: {error}")
    uvicorn.run(app, host=options.host, port=options.port, log_level="info")


if __name__ == "__main__":
    main()
