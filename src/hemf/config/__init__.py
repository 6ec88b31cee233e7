"""The options of a run, how they are spelled, and the recipes."""
