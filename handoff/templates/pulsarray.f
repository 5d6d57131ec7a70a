// Files of the machine, for tools that take a list: -f pulsarray.f, from this folder.
pulsarray.v
pulsarray_axi.v
