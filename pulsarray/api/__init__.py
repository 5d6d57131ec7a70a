"""What ``import pulsarray`` gives: from a network or a training to programs, runs and reports."""
