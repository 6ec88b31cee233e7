"""Tests how far models differ on the same images, and whether chance alone could explain it."""
