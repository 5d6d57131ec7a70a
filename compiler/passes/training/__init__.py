"""From a network to what a step of its training computes: gradients are nodes of the same graph."""
