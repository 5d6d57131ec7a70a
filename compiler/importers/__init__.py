"""Files of other tools to networks."""
