"""The one exception type for input that cannot be used."""


class InputError(ValueError):
    """Bad input: the message names the file or argument, what was found and what is expected."""
