"""Commands that hold the simulated population against the literature, or show it."""
