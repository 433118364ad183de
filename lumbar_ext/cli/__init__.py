"""The command `lumbar-ext VERB`."""
