"""Measures of predictions, their intervals, and tests of differences."""
