"""Starts the application: `python -m lumbar_ext.deploy -i DICOM_DIR -m BUNDLES -o OUT`, or as a MAP does.

`--optimiser NAME` chooses another registration; `--archive URL --study UID` fetches the study from a DICOM archive and stores
the results there, with the credentials of `lumbar-ext pacs` (`--credentials`, `--ca_bundle`). A MAP is given the same by
environment variables: `LUMBAR_EXT_OPTIMISER`, `LUMBAR_EXT_ARCHIVE`, `LUMBAR_EXT_STUDY`.
"""

import argparse
import os
import sys

# Holoscan's own log, unlike the SDK's, goes to standard error in C++; its progress says nothing to a user.
os.environ.setdefault("HOLOSCAN_LOG_LEVEL", "ERROR")

from lumbar_ext.deploy.application import LumbarReconstructionApp
from lumbar_ext.deploy.archive_operators import ArchivedStudy
from lumbar_ext.errors import InputError
from lumbar_ext.pacs.archive import Archive
from lumbar_ext.registration import CONFIGS
from lumbar_ext.workflow.error_reporting import ExitStatus, disk_error_behind, error_line


def main() -> None:
    """Runs once; what cannot be used ends in one line on standard error and the exit status of `lumbar-ext` for it."""
    options = argparse.ArgumentParser(add_help=False)
    given = os.environ.get
    options.add_argument("--optimiser", choices=CONFIGS, default=given("LUMBAR_EXT_OPTIMISER") or None)
    for name in ("archive", "study", "credentials", "ca_bundle"):
        options.add_argument(f"--{name}", default=given(f"LUMBAR_EXT_{name.upper()}") or "")
    chosen, rest = options.parse_known_args()
    overrides = {} if chosen.optimiser is None else {"optimiser": chosen.optimiser}
    try:
        study = _archived(chosen)
        if study is not None and study.is_done():
            print(f"{study.archive.url}: the study has results already")
            return
        LumbarReconstructionApp([sys.argv[0], *rest], overrides, study).run()
    except Exception as error:
        disk = disk_error_behind(error)
        said = error_line(error) or (disk and (f"error: {disk}", ExitStatus.BAD_INPUT))
        if said is None:
            raise
        line, status = said
        print(" ".join(line.splitlines()), file=sys.stderr)
        sys.exit(int(status))


def _archived(chosen: argparse.Namespace) -> ArchivedStudy | None:
    """The study that the options name, if they name one.

    Raises:
        InputError: for an archive without a study, or a study without an archive.
    """
    if not chosen.archive and not chosen.study:
        return None
    if not (chosen.archive and chosen.study):
        raise InputError(f"--archive {chosen.archive} and --study {chosen.study}: expected both, or neither")
    return ArchivedStudy(Archive(chosen.archive, chosen.credentials, chosen.ca_bundle), chosen.study)


if __name__ == "__main__":
    main()
