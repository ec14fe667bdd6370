#!/bin/sh
# Runs every test that this machine can run; what it can't run is said aloud.
set -eu
cd "$(dirname "$0")/.."

if [ "$(id -u)" = 0 ]; then
    exec cargo test --workspace --tests
fi
echo "not root: the kernel and e2e tests are SKIPPED; run 'make test' as root for all of them" >&2
exec make unit
