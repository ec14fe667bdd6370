#!/bin/sh
# Builds the targets with what coverage needs, on any toolchain, and runs one: run.sh TARGET [LIBFUZZER-OPTIONS].
set -eu
cd "$(dirname "$0")"
target=$1
shift
host=$(rustc --version --verbose | sed -n 's/^host: //p')
RUSTFLAGS="--cfg fuzzing -C passes=sancov-module -C codegen-units=1 -C llvm-args=-sanitizer-coverage-level=4 \
-C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table \
-C llvm-args=-sanitizer-coverage-trace-compares" \
    ${CARGO:-cargo} build --release --target "$host" --bin "$target"
mkdir -p "corpus/$target" "artifacts/$target"
exec "target/$host/release/$target" -artifact_prefix="artifacts/$target/" "$@" "corpus/$target"
