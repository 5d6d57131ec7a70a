"""Training runs on a device: steps, epochs, checkpoints and their history."""
