"""What would make a result too good, or wrong, found before anything is trained."""
