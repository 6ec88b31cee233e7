"""What happens at the end of each epoch: metrics, checkpoints, averaged weights, a line on the screen."""
