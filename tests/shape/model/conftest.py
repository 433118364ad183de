"""The toy model of the registration's tests."""

from tests.registration.conftest import shapes, toy_model

__all__ = ["shapes", "toy_model"]
