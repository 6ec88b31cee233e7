"""Finds the way of counting that a published figure follows, by counting in every way."""

from collections.abc import Mapping, Sequence

PARAMS_TOLERANCE = 0.0005
"""Published parameters are rounded to 0.1 M at worst, of 87 M."""

OPERATIONS_TOLERANCE = 0.01
"""Tools of one convention differ by this much in what they count of norms, pooling and softmax."""


NEAR = 0.1
"""A way of counting that is further off than this is not worth naming."""

Way = tuple[str, str]
"""How something is counted, and of what: ("thop", "depthwise")."""


def params_convention(published: float, counts: Mapping[Way, float]) -> str:
    """Return the plainest way of counting parameters that gives the published figure.

    Args:
        published: the figure.
        counts: our figures by way of counting, the plainest first, in the same unit.

    Returns:
        The way in words, or ``none``; then also the nearest one and how far it is off, unless that is far.
    """
    follows = [way for way, count in counts.items() if _off(count, published) <= PARAMS_TOLERANCE]
    return _words(follows[:1]) if follows else _none(published, counts)


def operations_convention(published: float, counts: Mapping[Way, float]) -> str:
    """Return every way of counting multiply-adds that gives the published figure; arguments as above."""
    follows = [way for way, count in counts.items() if _off(count, published) <= OPERATIONS_TOLERANCE]
    return _words(follows) if follows else _none(published, counts)


def _off(count: float, published: float) -> float:
    return abs(count - published) / published


def _words(ways: Sequence[Way]) -> str:
    """Ways of counting in words, those that count the same thing together: "thop or torch, depthwise"."""
    of_what = dict.fromkeys(what for _, what in ways)
    parts = (" or ".join(how for how, what in ways if what == same) for same in of_what)
    return "; ".join(", ".join(filter(None, pair)) for pair in zip(parts, of_what, strict=True))


def _none(published: float, counts: Mapping[Way, float]) -> str:
    way = min(counts, key=lambda way: _off(counts[way], published))
    off = counts[way] / published - 1
    return f"none; nearest: {_words([way])} ({off:+.1%})" if abs(off) <= NEAR else "none"
