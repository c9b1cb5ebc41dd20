#!/bin/sh
# Builds and runs the benchmarks; arguments are those of spec/bench/run.lua.
set -eu
cd "$(dirname "$0")/.."

sh config/packages/install.sh build bench
cmake --preset release >/dev/null
cmake --build --preset release >/dev/null
cmake --build --preset release --target bench_programs >/dev/null
exec lua5.4 spec/bench/run.lua "$@"
