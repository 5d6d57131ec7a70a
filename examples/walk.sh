#!/usr/bin/env bash
# From an ONNX file to compared runs and reports, in a folder of its own.
#
#   examples/walk.sh [model|icarus|verilator] [FOLDER]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=${BIN:-$here/../.venv/bin}
on=${1:-model}
folder=${2:-$(mktemp -d)}
mkdir -p "$folder"
cd "$folder"

"$bin/python" "$here/make_onnx.py" .
machine=(--config tiny --set queue_depth=2)

# The machine: its Verilog, if a simulator shall run it.
if [ "$on" != model ]; then
    "$bin/pulsarray" generate "${machine[@]}" --output verilog
fi

# The program, its instructions, and what it costs.
"$bin/pulsarray" compile net.onnx "${machine[@]}" --batch 8 --calibrate samples.npz --output net.pulse
"$bin/pulsarray" disasm net.pulse | head -n 12
"$bin/pulsarray" simulate net.pulse --on "$on" --inputs inputs.npz --outputs answers.npz \
    --report slow.json --memory-latency 100

# The same network on a machine with a deeper queue and nearer memory, side by side.
"$bin/pulsarray" estimate net.onnx --config tiny --batch 8 --calibrate samples.npz \
    --memory-latency 20 --report near.json >/dev/null
"$bin/pulsarray" compare slow.json near.json --html compare.html --fail-over 0
"$bin/python" -c "import numpy as np; print(np.load('answers.npz')['y'].round(2))"
echo "files are in $folder"
