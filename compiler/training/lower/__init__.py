"""Training of networks of feature maps."""
