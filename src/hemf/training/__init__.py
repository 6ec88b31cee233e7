"""From options to a trained model, with Lightning."""
