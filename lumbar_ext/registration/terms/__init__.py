"""What the loss of a registration adds up: one file a term, its configuration and its arithmetic together."""
