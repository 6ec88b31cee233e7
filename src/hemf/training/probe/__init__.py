"""The linear probe: how it is fitted, and how it is compared with what is trained from it."""
