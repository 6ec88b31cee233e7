"""Verbs that weigh evaluated runs against each other, and plan the next study from them."""
