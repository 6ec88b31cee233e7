"""Verbs that bring a trained model to those who use it."""
