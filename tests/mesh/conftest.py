"""Vertebrae of the shape model's and the registration's tests."""

from tests.registration.conftest import geometry, shapes, toy_model
from tests.shape.conftest import reference, vertebra

__all__ = ["geometry", "reference", "shapes", "toy_model", "vertebra"]
