# Packages the machine as an IP of Vivado: vivado -mode batch -source vivado/package_ip.tcl
# (from the folder that holds pulsarray.v). The IP is written to vivado/ip.
set root [file normalize [file dirname [info script]]/..]
create_project -in_memory -part [lindex [get_parts] 0]
read_verilog $root/pulsarray.v
set_property top pulsarray [current_fileset]
ipx::package_project -root_dir $root/vivado/ip -vendor pulsarray -library ip \
    -taxonomy /UserIP -import_files -set_current true
set core [ipx::current_core]
set_property name pulsarray $core
set_property display_name "Pulsarray D={{ config.dim }}" $core
set_property description "Systolic-array accelerator, configuration {{ config.fingerprint }}" $core

# m_axi and s_axil are inferred from the names of their signals.
foreach bus {m_axi s_axil} {
    ipx::associate_bus_interfaces -busif $bus -clock clk $core
}
ipx::infer_bus_interface clk xilinx.com:signal:clock_rtl:1.0 $core
ipx::infer_bus_interface rst xilinx.com:signal:reset_rtl:1.0 $core
ipx::infer_bus_interface interrupt xilinx.com:signal:interrupt_rtl:1.0 $core
set polarity [ipx::add_bus_parameter POLARITY [ipx::get_bus_interfaces rst -of_objects $core]]
set_property value ACTIVE_HIGH $polarity
set sensitivity \
    [ipx::add_bus_parameter SENSITIVITY [ipx::get_bus_interfaces interrupt -of_objects $core]]
set_property value LEVEL_HIGH $sensitivity
set block [ipx::add_address_block registers \
    [ipx::add_memory_map s_axil $core]]
set_property range 4096 $block
set_property usage register $block
set_property slave_memory_map_ref s_axil [ipx::get_bus_interfaces s_axil -of_objects $core]
ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::check_integrity $core
ipx::save_core $core
