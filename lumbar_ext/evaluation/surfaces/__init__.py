"""Errors of reconstructed surfaces."""
