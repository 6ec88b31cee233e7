"""Finds what would make a result too good, or wrong, before anything is trained."""
