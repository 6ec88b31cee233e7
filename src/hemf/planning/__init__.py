"""Plans a training for its data, machine and budget of time, each choice with its reason."""
