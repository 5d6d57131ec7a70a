# Constraints for Vivado, out of context; in a block design the clock comes from its source.
create_clock -name clk -period {{ "%.3f" | format(1000 / mhz) }} [get_ports clk]
