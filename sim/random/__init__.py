"""Random programs, networks and training steps, from seeds."""
