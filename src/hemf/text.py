"""Text that others wrote, such as names of files and classes, made safe to show."""


def printable(text: str) -> str:
    """Text without the characters that steer a terminal or turn the reading direction; each becomes U+FFFD.

    Line breaks go too, so a name stays on its line.
    """
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
