"""Starts the application: `python -m lumbar_ext.deploy -i DICOM_DIR -m BUNDLES -o OUT`, or as a MAP does.

`--optimiser NAME`, or in a MAP the environment variable `LUMBAR_EXT_OPTIMISER`, chooses another registration.
"""

import argparse
import os
import sys

# Holoscan's own log, unlike the SDK's, goes to standard error in C++; its progress says nothing to a user.
os.environ.setdefault("HOLOSCAN_LOG_LEVEL", "ERROR")

from lumbar_ext.deploy.application import LumbarReconstructionApp
from lumbar_ext.registration import CONFIGS
from lumbar_ext.workflow.error_reporting import ExitStatus, disk_error_behind, error_line


def main() -> None:
    """Runs once; what cannot be used ends in one line on standard error and the exit status of `lumbar-ext` for it."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--optimiser", choices=CONFIGS, default=os.environ.get("LUMBAR_EXT_OPTIMISER") or None)
    chosen, rest = options.parse_known_args()
    overrides = {} if chosen.optimiser is None else {"optimiser": chosen.optimiser}
    try:
        LumbarReconstructionApp([sys.argv[0], *rest], overrides).run()
    except Exception as error:
        disk = disk_error_behind(error)
        said = error_line(error) or (disk and (f"error: {disk}", ExitStatus.BAD_INPUT))
        if said is None:
            raise
        line, status = said
        print(" ".join(line.splitlines()), file=sys.stderr)
        sys.exit(int(status))


if __name__ == "__main__":
    main()
