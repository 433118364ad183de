"""The folder that `monai-deploy package` makes a container of.

    lumbar-ext package-map build/map
    monai-deploy package build/map/app --config build/map/app/app.yaml --models build/map/models \
        --platform x86_64 --tag lumbar_ext:0.1.0
"""

from __future__ import annotations

import shutil
from pathlib import Path

import lumbar_ext
from lumbar_ext.bundle_paths import bundles_dir
from lumbar_ext.errors import InputError

_PACKAGE = Path(lumbar_ext.__file__).parent
_NAMES = ("lumbar_multitask", "lumbar_reconstruction")
_LEFT_OUT = shutil.ignore_patterns(
    "__pycache__", "*.pyc", "bundles", "label", "sample", "out", "output", "runs", "cohort"
)


def stage(output_dir: str, bundles: str = str(bundles_dir())) -> None:
    """Makes `app` (starter, configuration, requirements and the package) and `models` (the two bundles).

    Args:
        output_dir: folder to make both in; older ones are replaced.
        bundles: folder of the bundles.

    Raises:
        InputError: if a bundle is missing.
    """
    for name in _NAMES:
        if not (Path(bundles) / name / "configs" / "inference.json").is_file():
            raise InputError(f"{bundles}: no bundle {name} in it, expected the folder of the bundles")
    app, models = Path(output_dir) / "app", Path(output_dir) / "models"
    for folder in (app, models):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(_PACKAGE, app / "lumbar_ext", ignore=_LEFT_OUT)
    for name in ("__main__.py", "app.yaml", "requirements.txt"):
        shutil.copy(_PACKAGE / "deploy" / name, app / name)
    for name in _NAMES:
        shutil.copytree(Path(bundles) / name, models / name, ignore=_LEFT_OUT)
