"""How far an image is from those that a model learnt from: the score that is kept with the model."""
