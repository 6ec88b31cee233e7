"""Pages of one file each, for a browser and for paper: what they are made of, and how they look."""
