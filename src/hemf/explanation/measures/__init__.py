"""What heat maps are worth: against masks, by deletion, and under random weights."""
