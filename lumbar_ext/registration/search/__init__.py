"""The optimisers, and what all of them keep and return."""
