"""Ignite handlers and inferers of a training run: budget, averages, checkpoints, precision."""
