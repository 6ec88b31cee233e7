"""The command line: verbs, the flags made of their functions, and what runs them."""

from hemf.cli.app import main
from hemf.cli.verbs import VERBS, build_parser, load_verb

__all__ = ["VERBS", "build_parser", "load_verb", "main"]
