#!/bin/sh
# Prints the CMake arguments that llama.cpp needs on this machine; nothing on most.
# GCC declares 8 of the 64 bytes that its `_tile_loadconfig` reads (AMX), so dead-store elimination drops the
# others and the first decode crashes (llama.cpp issue 20824): that optimisation is switched off where the
# processor has AMX and the compiler knows the flags. Clang does neither.
# Usage: cmake_flags.sh [CPUINFO [C-COMPILER [C++-COMPILER]]]
cpuinfo=${1:-/proc/cpuinfo}
cc=${2:-${CC:-cc}}
cxx=${3:-${CXX:-c++}}
flags='-fno-tree-dse -fno-dse'

accepts() { # LANGUAGE COMPILER
    echo 'int main(void) { return 0; }' | $2 -Werror $flags -x "$1" -c -o /dev/null - 2>/dev/null
}

grep -qw amx_tile "$cpuinfo" 2>/dev/null || exit 0
accepts c "$cc" && accepts c++ "$cxx" || exit 0
echo "-DCMAKE_C_FLAGS='$flags' -DCMAKE_CXX_FLAGS='$flags'"
