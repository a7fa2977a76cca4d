"""What is wrong with a file as a whole."""


class UnreadableFileError(ValueError):
    """A file cannot be read as rows; the message says why and what to do."""
