`define PULSARRAY_TRACE  // compiled before top.v where the machine has trace ports
