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
# The modules that sim/tools.py imports; a minimal Python has not all of them.
tools_need='import ctypes, dataclasses, functools, importlib, subprocess, sysconfig, tempfile'

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

# Debian packages of what is missing or does not work: sim/tools.py tries everything out.
missing_packages() {
    if [ -z "$python" ] || ! "$python" -c "$tools_need" 2>/dev/null; then
        echo python3 python3-venv
    else
        "$python" -I sim/tools.py
    fi
}

install_packages() {
    local packages=$* as=()
    local command="apt-get update && apt-get install -y --no-install-recommends $packages"
    local wait=(-o DPkg::Lock::Timeout=300) # for what else installs packages just now
    command -v apt-get >/dev/null || stop "missing: $packages; install them, then run this again"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || stop "missing: $packages; as root run: $command"
        as=(sudo)
    fi
    say "about to install from the distribution: $packages"
    "${as[@]}" apt-get "${wait[@]}" update -qq ||
        stop "cannot reach the distribution; as root run: $command"
    "${as[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get "${wait[@]}" install -y -qq --no-install-recommends $packages >/dev/null ||
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
    # Only a Python that works can say what else is missing.
    python=$(find_python)
    [ -n "$python" ] || stop "Python 3.11 or newer is needed; this distribution has none"
    packages=$(missing_packages | xargs)
    [ -z "$packages" ] || install_packages $packages
    packages=$(missing_packages | xargs)
    [ -z "$packages" ] || stop "installed, but still missing or not usable: $packages"
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
