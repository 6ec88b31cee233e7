"""Sections of an evaluation's page: a file each, listed in order in ``report/multiclass.py``."""
