"""Networks of feature maps in int8: their definition, and from them to instructions."""
