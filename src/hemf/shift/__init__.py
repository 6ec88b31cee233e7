"""What becomes of a model where images are not what it knows: unlike ones, corrupted ones, later ones."""
