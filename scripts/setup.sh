#!/usr/bin/env bash
# Set up Pulsarray on Debian or Ubuntu: system tools where missing, then a virtual environment.
#
#   scripts/setup.sh               everything into .venv
#   VENV=/some/where scripts/setup.sh
#
# A second run with nothing changed does nothing. Exit codes: 0 done, 3 a tool is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}
stamp=$venv/.pulsarray-setup

say() { printf 'setup: %s\n' "$*"; }
stop() { printf 'setup: %s\n' "$*" >&2; exit 3; }

# A Python that is at least 3.11 and a shared library too: simulators load it (cocotb).
find_python() {
    local name
    for name in python3 python3.11 python3.12 python3.13 python3.14 /usr/bin/python3; do
        if command -v "$name" >/dev/null && "$name" -c 'import sys, sysconfig as s
sys.exit(sys.version_info < (3, 11) or not s.get_config_var("Py_ENABLE_SHARED"))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
}

# Debian packages of the tools that are not on PATH.
missing_packages() {
    command -v iverilog >/dev/null || echo iverilog
    command -v g++ >/dev/null || echo g++
    command -v make >/dev/null || echo make
    command -v perl >/dev/null || echo perl
    if [ -z "$python" ]; then
        echo python3 python3-venv
        return
    fi
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        "$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'
    "$python" -c 'import ctypes, sysconfig as s; ctypes.CDLL(s.get_config_var("INSTSONAME"))' \
        2>/dev/null || "$python" -c 'import sys; print("libpython%d.%d" % sys.version_info[:2])'
}

install_packages() {
    local packages=$* as=()
    local command="apt-get update && apt-get install -y --no-install-recommends $packages"
    command -v apt-get >/dev/null || stop "missing: $packages; install them, then run this again"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || stop "missing: $packages; as root run: $command"
        as=(sudo)
    fi
    say "about to install from the distribution: $packages"
    "${as[@]}" apt-get update -qq || stop "cannot reach the distribution; as root run: $command"
    "${as[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $packages ||
        stop "cannot install; as root run: $command"
}

# What the environment depends on: when it changes, it is installed again.
fingerprint() {
    cat requirements.lock pyproject.toml scripts/setup.sh
    pwd
}

python=$(find_python)
packages=$(missing_packages | xargs)
if [ -n "$packages" ]; then
    install_packages $packages
    # A Python that was just installed may lack its shared library still.
    python=$(find_python)
    packages=$(missing_packages | xargs)
    [ -z "$packages" ] || install_packages $packages
    [ -n "$python" ] || stop "Python 3.11 or newer is needed; this distribution has none"
fi

wanted=$(fingerprint | sha256sum | cut -d ' ' -f 1)
if [ -x "$venv/bin/pulsarray" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi
say "installing the versions of requirements.lock into $venv: a minute or two"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip=("$venv/bin/python" -m pip --disable-pip-version-check install --quiet)
"${pip[@]}" --requirement requirements.lock
"${pip[@]}" --no-build-isolation --no-deps --editable .
echo "$wanted" >"$stamp"
say "done: $venv/bin/pulsarray"
