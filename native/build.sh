#!/bin/sh
# Compiles the native binding with plain cc: build.sh [FOLDER]. Writes linux-x64.node and linux-arm64.node, each where a
# compiler for it is there; the same compiler gives the same bytes in every folder.
#
# CC, CC_ARM64 and CC_X64 name compilers; NATIVE_CFLAGS adds flags (sanitizers); NODE_API_INCLUDE is where node_api.h is.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
out=${1:-$here/prebuilds}
mkdir -p "$out"
out=$(CDPATH='' cd -- "$out" && pwd)

include=${NODE_API_INCLUDE:-}
prefix=$(dirname -- "$(dirname -- "$(node -p process.execPath)")")
for folder in "$here/../node_modules/node-api-headers/include" "$prefix/include/node"; do
  if [ -z "$include" ] && [ -f "$folder/node_api.h" ]; then include=$folder; fi
done
if [ -z "$include" ]; then
  echo "build.sh: error: no node_api.h: install node-api-headers, or name its folder in NODE_API_INCLUDE" >&2
  exit 6
fi

compile() { # compiler, output, flags
  compiler=$1 output=$2
  shift 2
  # From here, so that no path of this machine is in the binary.
  (cd "$here" && "$compiler" -std=gnu11 -O2 -Wall -Wextra -Werror -Wpedantic -Wshadow -fPIC -shared -fvisibility=hidden \
    -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 "$@" -isystem "$include" \
    -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed,--build-id=none ${NATIVE_CFLAGS:--s} \
    -o "$output.part" vsock.c nsm.c)
  mv "$output.part" "$output"
  echo "$output"
}

case $(uname -m) in
  x86_64) x64=${CC_X64:-${CC:-cc}} arm64=${CC_ARM64:-aarch64-linux-gnu-gcc} ;;
  aarch64) x64=${CC_X64:-x86_64-linux-gnu-gcc} arm64=${CC_ARM64:-${CC:-cc}} ;;
  *) echo "build.sh: error: there is no binding for $(uname -m)" >&2 && exit 6 ;;
esac
built=0
if command -v "$x64" >/dev/null; then
  compile "$x64" "$out/linux-x64.node" -fcf-protection=full
  built=1
fi
if command -v "$arm64" >/dev/null; then
  compile "$arm64" "$out/linux-arm64.node" -mbranch-protection=standard
  built=1
fi
if [ $built = 0 ]; then
  echo "build.sh: error: no compiler: neither $x64 nor $arm64" >&2
  exit 6
fi
