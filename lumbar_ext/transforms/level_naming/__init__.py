"""Which vertebra is which: peaks of heatmaps to levels, by one view alone or by both together."""
