"""Temperatures, prediction sets and thresholds, fitted on held-out images."""
