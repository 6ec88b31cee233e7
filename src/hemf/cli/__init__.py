"""The command line: which verbs there are, and how flags are made from their functions."""

from hemf.cli.app import main
from hemf.cli.verbs import VERBS, build_parser, load_verb

__all__ = ["VERBS", "build_parser", "load_verb", "main"]
