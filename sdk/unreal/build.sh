#!/bin/sh
# Compiles the plugin against stubs of Unreal, with the flags of Unreal's build tool, into target/sdk/unreal.
#
#   CXX  the compiler (c++)
#   OPT  the level of optimization (2)
set -e
here=$(cd "$(dirname "$0")" && pwd)
out=$here/../../target/sdk/unreal
stubs=$out/include
source=$here/Source/Rlay
rm -rf "$stubs"
# Unreal's headers, all of which are in one here.
for header in CoreMinimal Components/ActorComponent Components/StaticMeshComponent GameFramework/Actor \
    HAL/PlatformMisc Misc/App Modules/ModuleManager UObject/ConstructorHelpers; do
    mkdir -p "$stubs/$(dirname "$header")"
    echo '#include "UnrealStubs.h"' > "$stubs/$header.h"
done
# What Unreal's header tool makes of each header with a UCLASS.
for header in "$source"/Public/*.h; do
    name=$(basename "$header" .h)
    awk -v id="Rlay_$name" '
        BEGIN { print "#undef CURRENT_FILE_ID"; print "#define CURRENT_FILE_ID " id }
        /^class RLAY_API/ { base = $6 }
        /GENERATED_BODY/ {
            print "#define " id "_" NR "_GENERATED_BODY public: using Super = " base "; private:"
        }' "$header" > "$stubs/$name.generated.h"
done
compile() {
    "${CXX:-c++}" -O"${OPT:-2}" -g -fno-exceptions -fno-rtti -pthread \
        -Wall -Wextra -Wshadow -Wundef -Wno-unused-private-field -Werror -include "$here/tests/UnrealStubs.h" \
        -I"$here/tests" -I"$stubs" -I"$source/Public" -I"$here/../cpp/include" "$@"
}
compile -std=c++17 "$source"/Private/*.cpp "$here/tests/Loop.cpp" -o "$out/loop"
# Unreal 5.3 and newer build with the newer standard.
compile -std=c++20 -fsyntax-only "$source"/Private/*.cpp
