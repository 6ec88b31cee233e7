"""What is tested, on which images, and which of them the model has seen in training."""
