"""The exception that hemf raises for anything a user can put right, and its subclass for images."""


class HemfError(ValueError):
    """Bad input or bad settings: the message says in one line what is wrong, where, and how to mend it.

    The command line prints it without a traceback and leaves with exit code 2.
    """


class UnreadableImage(HemfError):  # noqa: N818 - it names what the user sees
    """A file that cannot be read as an image; the message names the file, the reason and the remedy."""
