"""The verbs of ``hemf data``."""
