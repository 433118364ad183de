"""Everything about the package stands in pyproject.toml; here the wheel is given the bundles, which lie beside it."""

from pathlib import Path
from shutil import copytree, ignore_patterns

from setuptools import setup
from setuptools.command.build_py import build_py

# What commands leave in a bundle's folder.
MADE_BY_COMMANDS = ignore_patterns("out", "output", "runs", "cohort", "eval", "evaluation", "*.onnx", "resume.pt", ".*")


class BuildWithBundles(build_py):
    """Copies `bundles/` into the package, where `lumbar_ext.bundle_paths` finds them."""

    def run(self):
        """Builds the package, then adds the bundles; an editable installation finds them in the repository."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "lumbar_ext" / "bundles"
            copytree("bundles", target, ignore=MADE_BY_COMMANDS, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithBundles})
