// Compiled before top.v where the machine has trace ports.
`define PULSARRAY_TRACE
