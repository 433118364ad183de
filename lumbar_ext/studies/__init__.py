"""The study folder: what a clinic delivers, and what is known of a simulated study."""
