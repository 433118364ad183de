"""The cameras of the registration's tests."""

from tests.registration.conftest import geometry

__all__ = ["geometry"]
