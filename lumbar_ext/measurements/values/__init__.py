"""From marks to numbers, each with its definition."""
