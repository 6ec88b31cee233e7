"""The folder of a run, and the environment that it was made in."""
