# Packages the machine as an IP of Vivado: vivado -mode batch -source vivado/package_ip.tcl
# (from the folder that holds pulsarray.v). The IP is written to vivado/ip.
set root [file normalize [file dirname [info script]]/..]
create_project -in_memory -part [lindex [get_parts] 0]
read_verilog [list $root/pulsarray.v $root/pulsarray_axi.v]
set_property top pulsarray_axi [current_fileset]
ipx::package_project -root_dir $root/vivado/ip -vendor pulsarray -library ip \
    -taxonomy /UserIP -import_files -set_current true
set core [ipx::current_core]
set_property name pulsarray $core
set_property display_name "Pulsarray D={{ config.dim }}" $core
set_property description "Systolic-array accelerator, configuration {{ config.fingerprint }}" $core

# Interfaces are inferred from the attributes of the ports of pulsarray_axi.
set block [ipx::add_address_block registers \
    [ipx::add_memory_map s_axil $core]]
set_property range 4096 $block
set_property usage register $block
set_property slave_memory_map_ref s_axil [ipx::get_bus_interfaces s_axil -of_objects $core]
ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::check_integrity $core
ipx::save_core $core
