"""The study and the DICOM writer of the radiographs' tests."""

from tests.radiographs.conftest import geometry, trunk, write_dicom

__all__ = ["geometry", "trunk", "write_dicom"]
