"""Verbs that show what a run can be trusted with."""
