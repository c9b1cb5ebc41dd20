#!/bin/sh
# Installs the Debian packages of the named lists that are missing:
#
#     sh config/packages/install.sh build test
#
# Does nothing, and needs no network, when all of them are there.
set -eu
cd "$(dirname "$0")"

missing=
for list in "$@"; do
    for package in $(sed 's/#.*//' "$list.txt"); do
        case $(dpkg-query -W -f '${Status}' "$package" 2>&1) in
        *" ok installed") ;;
        *) missing="$missing $package" ;;
        esac
    done
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    as_root="env"
elif command -v sudo >/dev/null; then
    as_root="sudo env"
else
    echo "Missing packages:$missing" >&2
    echo "Install them as root: apt-get install$missing" >&2
    exit 1
fi

echo "Installing:$missing"
as_root="$as_root DEBIAN_FRONTEND=noninteractive"
$as_root apt-get -qq update &&
    $as_root apt-get -qq install -y --no-install-recommends $missing || {
    echo "apt-get could not install:$missing" >&2
    exit 1
}
