"""The one exception that stands for a fault in what a user gave."""


class InputError(ValueError):
    """A file, an option or an array that cannot be used.

    The message is one line that names the file or the value and the rule that it breaks. Command lines print it
    after ``error:`` and exit with code 2; library callers can catch it as a ValueError.
    """
