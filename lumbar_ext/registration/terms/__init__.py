"""What the loss of a registration adds up."""
