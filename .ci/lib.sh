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
