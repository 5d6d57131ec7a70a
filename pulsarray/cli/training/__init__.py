"""The verbs that train: options, what is trained, and what is written."""
