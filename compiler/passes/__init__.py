"""What the compiler does to a graph, one file a pass: each makes another graph of a graph."""
