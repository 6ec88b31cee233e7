"""Models measured on one protocol, resumably, and what each costs."""
