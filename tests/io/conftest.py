"""The study of the radiographs' tests."""

from tests.radiographs.conftest import geometry

__all__ = ["geometry"]
