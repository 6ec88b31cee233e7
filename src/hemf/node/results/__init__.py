"""The objects that a node makes of what its model says: structured reports, and heat maps as pictures."""
