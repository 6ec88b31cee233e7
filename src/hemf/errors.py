"""The one exception hemf raises for anything a user can mend."""


class HemfError(ValueError):
    """Bad input or bad settings: the message says in one line what is wrong, where, and how to mend it.

    The command line prints it without a traceback and leaves with exit code 2.
    """
