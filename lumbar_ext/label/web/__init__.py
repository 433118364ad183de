"""The web service: which requests are answered, and how."""
