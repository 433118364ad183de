"""Starts the application: `python -m lumbar_ext.deploy -i DICOM_DIR -m BUNDLES -o OUT`, or as a MAP does."""

import os
import sys

# Holoscan's own log, unlike the SDK's, goes to standard error in C++; its progress says nothing to a user.
os.environ.setdefault("HOLOSCAN_LOG_LEVEL", "ERROR")

from lumbar_ext.deploy.application import LumbarReconstructionApp
from lumbar_ext.workflow.error_reporting import disk_error_behind, input_error_behind


def main() -> None:
    """Runs once; what cannot be used ends in one line on standard error and exit code 1."""
    try:
        LumbarReconstructionApp().run()
    except Exception as error:
        cause = input_error_behind(error) or disk_error_behind(error)
        if cause is None:
            raise
        sys.exit(f"error: {' '.join(str(cause).splitlines())}")


if __name__ == "__main__":
    main()
