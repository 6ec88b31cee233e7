"""What a model is worth at another place than the one it was developed at."""
