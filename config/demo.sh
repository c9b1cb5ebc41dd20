#!/bin/sh
# Builds ahost from a bare checkout, and serves the echo example.
set -eu
cd "$(dirname "$0")/.."

sh config/packages/install.sh build demo
cmake --preset release
cmake --build --preset release --target ahost

echo
echo "Talk to it from another terminal:  nc 127.0.0.1 64100"
echo "Stop it with Ctrl-C."
exec build/release/ahost examples/echo/echo.lua
