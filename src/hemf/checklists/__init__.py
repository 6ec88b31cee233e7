"""Check lists of reporting standards, filled in with what a run knows of itself."""
