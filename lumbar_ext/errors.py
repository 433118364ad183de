"""The exception types for input that cannot be used."""


class InputError(ValueError):
    """Bad input: the message names the file or argument, what was found and what is expected."""


class NothingUsableError(InputError):
    """The input was read, but nothing that could be relied on was found in it."""
