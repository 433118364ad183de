"""From parameters to pictures, to the loss and its derivatives."""
