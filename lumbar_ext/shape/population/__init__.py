"""The anatomy that simulated people are drawn from."""
