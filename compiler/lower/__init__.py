"""From a network in int8 to instructions: the kernels of the machine, one file a family."""
