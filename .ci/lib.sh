# Shared by the scripts here; sourced, not run.
# shellcheck shell=bash

# shellcheck disable=SC2034 # used where this is sourced
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export DOCKER_HOST=${DOCKER_HOST:-unix:///var/run/docker.sock}
# rustup's tools, where a login shell has not put them on the PATH.
PATH=$PATH:${HOME:-/root}/.cargo/bin

say() {
    echo "==> $*"
}

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# Whether a Docker Engine answers at DOCKER_HOST.
engine_answers() {
    has docker && timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}

# What is one for the whole machine is locked here: two clones may be at work on it.
locks=/run/lock
[ -w "$locks" ] || locks=/tmp

# Runs a command while no other process on this machine does anything under the same name.
exclusively() { # name command…
    local lock=$locks/shellcraft-$1.lock
    shift
    # The lock stays with the file descriptor, which the command does not get.
    (
        flock 8
        "$@" 8>&-
    ) 8>>"$lock"
}

# When a process was started, which tells it from another one that got its number later.
born() { # pid
    # The command's name, in parentheses, may hold blanks; the rest has none.
    sed -n 's/^.*) //p' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20
}
