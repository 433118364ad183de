"""The cameras and the spine of the registration's tests."""

from tests.registration.conftest import geometry, shapes, toy_model, truth

__all__ = ["geometry", "shapes", "toy_model", "truth"]
