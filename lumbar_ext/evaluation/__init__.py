"""Measuring reconstructions against the truth of simulated studies."""
