"""The DICOM writer of the reader's own tests, for whole studies."""

from tests.radiographs.conftest import write_dicom

__all__ = ["write_dicom"]
