"""Facts by name: what a check list may ask a run, each a function from what it knows to sentences."""

from collections.abc import Callable

from hemf.checklists.known import Known
from hemf.core.registry import Registry

Fact = Callable[[Known], list[str]]
"""Sentences, none where the run does not know."""

FACTS: Registry[Fact] = Registry("fact")
