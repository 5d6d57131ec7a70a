#!/usr/bin/env bash
# Run `make demo` and `make test` on a minimal Debian with nothing but make, python3 and certificates.
#
#   sudo make fresh-check                a new root by debootstrap, the files of HEAD in it
#   BASE=DIR sudo -E make fresh-check    a copy of DIR, which debootstrap made before
#   SUITE=trixie ... COMMANDS="demo" ... another release, other targets
#
# From this machine come how it reaches the network (certificates, proxies, the address of its
# package index) and nothing else. Everything happens in its own mount and process namespace, so no
# mount and no process outlives it. Exit codes: 0 passed, 1 it failed, 3 not possible here.
set -euo pipefail
cd "$(dirname "$0")/.."
suite=${SUITE:-bookworm}
commands=${COMMANDS:-demo test}
certificates=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
PATH=$PATH:/usr/sbin:/sbin

say() { printf 'fresh-check: %s\n' "$*"; }
stop() { printf 'fresh-check: %s\n' "$*" >&2; exit 3; }

install_debootstrap() {
    command -v debootstrap >/dev/null && return
    command -v apt-get >/dev/null || stop "debootstrap is missing; install it, then run this again"
    say "installing debootstrap"
    local wait=(-o DPkg::Lock::Timeout=300)
    apt-get "${wait[@]}" update -qq
    apt-get "${wait[@]}" install -y -qq --no-install-recommends debootstrap
}

make_root() {
    if [ -n "${BASE:-}" ]; then
        say "copying $BASE"
        cp -a "$BASE" "$root"
        return
    fi
    install_debootstrap
    say "debootstrap of a minimal $suite; takes some minutes"
    if ! debootstrap --variant=minbase --include=make,python3,ca-certificates "$suite" "$root" \
        2>&1 | tee "$log" | grep --line-buffered -vE '^I: (Retrieving|Validating|Extracting) '; then
        keep "debootstrap failed"
    fi
}

# How this machine's pip and apt reach the network, for those within.
pass_network() {
    local name value
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    cp -L "$certificates" "$root/etc/ssl/network.crt"
    printf '[global]\ncert = /etc/ssl/network.crt\n' >"$root/etc/pip.conf"
    for name in index-url proxy timeout; do
        value=$(python3 -m pip config get "global.$name" 2>/dev/null) || continue
        printf '%s = %s\n' "$name" "$value" >>"$root/etc/pip.conf"
    done
    apt-config dump 2>/dev/null | grep -E '^Acquire::(https?|ftp)::([^ ]*::)?Proxy ' \
        >"$root/etc/apt/apt.conf.d/90network" || true
    echo 'Acquire::https::CaInfo "/etc/ssl/network.crt";' >>"$root/etc/apt/apt.conf.d/90network"
}

# Run a shell's line in the root: its variables are those of a login and the proxies.
within() {
    local variables=(HOME=/root "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    local name
    for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL; do
        [ -z "${!name:-}" ] || variables+=("$name=${!name}")
    done
    chroot "$root" /usr/bin/env -i "${variables[@]}" /bin/sh -c "$1" </dev/null
}

run_target() {
    local start=$SECONDS
    say "make $1"
    if ! within "cd /root/pulsarray && make $1" 2>&1 | tee "$log"; then
        keep "make $1 failed after $((SECONDS - start)) s"
    fi
    say "make $1 passed in $((SECONDS - start)) s"
}

# Stop with the log.
keep() {
    say "$1; what it printed is kept in $log" >&2
    kept=1
    exit 1
}

remove() {
    umount "$root/proc" "$root/dev/shm" 2>/dev/null || true
    rm -rf --one-file-system "$folder"
    [ -n "${kept:-}" ] || rm -f "$log"
}

[ "$(id -u)" -eq 0 ] || stop "must run as root, as debootstrap and chroot do: sudo make fresh-check"
if [ -z "${FRESH_CHECK_WITHIN:-}" ]; then
    namespace=(unshare --mount --pid --fork --kill-child --mount-proc)
    "${namespace[@]}" true || stop "namespaces are needed, and cannot be made here"
    FRESH_CHECK_WITHIN=1 exec "${namespace[@]}" "$0"
fi

folder=$(mktemp -d -t pulsarray-fresh-XXXXXX)
log=$(mktemp -t pulsarray-fresh-check-XXXXXX.log)
root=$folder/root
trap remove EXIT
trap 'exit 130' INT TERM HUP
changes=$(git -c safe.directory="$PWD" status --porcelain)
[ -z "$changes" ] || say "changes that are not committed are left out"
make_root
pass_network
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/dev/shm"
mkdir "$root/root/pulsarray"
git -c safe.directory="$PWD" archive HEAD | tar -x -C "$root/root/pulsarray"
for target in $commands; do
    run_target "$target"
done
say "passed: $commands"
