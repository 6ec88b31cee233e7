"""Measuring models: their cost, and how they compare."""
