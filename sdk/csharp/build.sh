#!/bin/sh
# Builds the programs of the tests and examples, all of the client in each, below target/sdk/csharp of the repository.
set -e
here=$(cd "$(dirname "$0")" && pwd)
out=$here/../../target/sdk/csharp
mkdir -p "$out"
build() {
    name=$1
    shift
    mcs -langversion:7 -warnaserror -warn:4 -checked- -optimize -r:System.Numerics.dll -out:"$out/$name" "$@"
}
# The documentation is made so that a public item without any is an error.
build Rlay.dll -target:library -doc:"$out/Rlay.xml" "$here"/Runtime/Rlay/*.cs
build game.exe "$here"/Runtime/Rlay/*.cs "$here/tests/Game.cs" "$here/tests/CommandLine.cs"
build vectors.exe "$here"/Runtime/Rlay/*.cs "$here/tests/Vectors.cs" "$here/tests/SpaceReader.cs"
build cartpole.exe "$here/examples/CartPole.cs" "$here/tests/CommandLine.cs" "$here"/Runtime/Rlay/*.cs
build unity.exe "$here/tests/UnityLoop.cs" "$here/tests/UnityStubs.cs" "$here/Samples~/Slider/SliderEnvironment.cs" \
    "$here/Runtime/RlayEnvironment.cs" "$here"/Runtime/Rlay/*.cs
build misuse.exe "$here/tests/Misuse.cs" "$here"/Runtime/Rlay/*.cs
