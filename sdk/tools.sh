#!/bin/sh
# Installs what the clients in other languages are built and run with, where something is missing: Debian's packages.
set -eu

# A command, and the package that has it. Versions are those that the clients were tried with, but for Node.js, which
# comes from elsewhere, too, and for Chromium, of which there is one version, the newest.
tools='
g++ g++=4:12.*
node nodejs
mcs mono-mcs=6.8.*
mono mono-runtime=6.8.*
javac openjdk-17-jdk-headless
godot3-server godot3-server=3.2.*
lua5.4 lua5.4=5.4.*
octave-cli octave=7.*
chromium chromium
valgrind valgrind=1:3.19.*
'
# What the runtime of C# finds its classes in.
libraries='libmono-system-core4.0-cil=6.8.* libmono-system4.0-cil=6.8.* libmono-system-numerics4.0-cil=6.8.*'

missing=
while read -r command package; do
    if [ -n "$command" ] && ! command -v "$command" >/dev/null; then missing="$missing $package"; fi
done <<END
$tools
END
case $missing in *mono*) missing="$missing $libraries" ;; esac
if ! lua5.4 -e 'require("socket")' >/dev/null 2>&1; then missing="$missing lua-socket=3.1.*"; fi
if ! octave-cli --no-gui --norc --eval "pkg load instrument-control sockets" >/dev/null 2>&1; then
    missing="$missing octave-instrument-control=0.8.* octave-sockets=1.4.*"
fi
if [ -z "$missing" ]; then exit 0; fi

echo "installing$missing" >&2
root=
if [ "$(id -u)" != 0 ]; then root=sudo; fi
$root apt-get update -qq
# shellcheck disable=SC2086 # one word for each package
DEBIAN_FRONTEND=noninteractive $root apt-get install -qq -y --no-install-recommends $missing >/dev/null
