"""Training: forward, backward and update as programs, and their references."""
