"""What a graph computes, by its operators' own definitions; independent of how it is lowered."""
