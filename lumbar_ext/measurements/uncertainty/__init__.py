"""How far to trust a value: samples of the posterior, calibrated intervals, grades."""
